/** A detected face. */
export interface Face {
  /** 0 to 1 */
  readonly score: number;
  /** `[x, y, width, height]` in the picture's pixels; may reach beyond its edges. */
  readonly box: readonly [number, number, number, number];
}

export interface PictureSize {
  readonly width: number;
  readonly height: number;
}

/** The picture lies at the top left of the network's square and fills its longer side: what one side is in pixels. */
export const squareSide = ({ width, height }: PictureSize): number => Math.max(width, height);

export const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/** Intersection over union of two boxes, 0 where either is empty. */
export function overlap([ax, ay, aw, ah]: Face['box'], [bx, by, bw, bh]: Face['box']): number {
  const width = Math.min(ax + aw, bx + bw) - Math.max(ax, bx);
  const height = Math.min(ay + ah, by + bh) - Math.max(ay, by);
  if (!(width > 0 && height > 0)) return 0;
  return (width * height) / (aw * ah + bw * bh - width * height);
}

/** Non-maximum suppression: of faces that overlap by more than `limit`, only the best stays. Best first. */
export function suppress<F extends Face>(faces: readonly F[], limit: number): F[] {
  const kept: F[] = [];
  for (const face of faces.toSorted((a, b) => b.score - a.score)) {
    if (kept.every(({ box }) => overlap(box, face.box) <= limit)) kept.push(face);
  }
  return kept;
}
