/** Runs in the browser: a photo stretched to a square, as a network takes it: `[side, side, 3]`, from 0 to 1. */
export async function photoTensor(address: string, side: number): Promise<Float32Array<ArrayBuffer>> {
  const bitmap = await createImageBitmap(await (await fetch(address)).blob());
  const context = new OffscreenCanvas(side, side).getContext('2d')!;
  context.drawImage(bitmap, 0, 0, side, side);
  const { data } = context.getImageData(0, 0, side, side);
  return Float32Array.from({ length: side * side * 3 }, (_, i) => data[Math.floor(i / 3) * 4 + (i % 3)]! / 255);
}
