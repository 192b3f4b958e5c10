/** Coloured squares on a figure of eight, at first sight a video. */

const canvas = Object.assign(document.createElement('canvas'), { width: 320, height: 240 });
const context = canvas.getContext('2d')!;

function paint(time: number): void {
  context.fillStyle = '#123';
  context.fillRect(0, 0, 320, 240);
  for (let i = 0; i < 12; i++) {
    const angle = time / 1500 + i * 0.5236;
    context.fillStyle = `hsl(${i * 30} 90% 60%)`;
    context.fillRect(140 + 90 * Math.cos(angle), 100 + 80 * Math.sin(2 * angle), 40, 40);
  }
  requestAnimationFrame(paint);
}
paint(0);

export const animation = (): MediaStream => canvas.captureStream(30);
