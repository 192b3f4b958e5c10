import { PipelineManager } from 'sepconv-webgpu';
import { createFilter, type PictureFilter } from './filter.js';

/** Filters every frame of a video: of an animation at first, then of the webcam if one asks for it. */

const video = document.querySelector('video')!;
const canvas = document.querySelector<HTMLCanvasElement>('#output')!;
const status = document.querySelector('#status')!;

function animation(): MediaStream {
  const source = Object.assign(document.createElement('canvas'), { width: 320, height: 240 });
  const context = source.getContext('2d')!;
  const paint = (time: number): void => {
    context.fillStyle = '#123';
    context.fillRect(0, 0, 320, 240);
    for (let i = 0; i < 12; i++) {
      const angle = time / 1500 + i * 0.5236;
      context.fillStyle = `hsl(${i * 30} 90% 60%)`;
      context.fillRect(140 + 90 * Math.cos(angle), 100 + 80 * Math.sin(2 * angle), 40, 40);
    }
    requestAnimationFrame(paint);
  };
  paint(0);
  return source.captureStream(30);
}

async function play(stream: MediaStream): Promise<void> {
  video.srcObject = stream;
  await video.play();
}

const manager = await PipelineManager.create();
let filter: PictureFilter | undefined;
let frames = 0;

async function showFrame(): Promise<void> {
  const { videoWidth, videoHeight } = video;
  if (!filter || canvas.width !== videoWidth || canvas.height !== videoHeight) {
    filter?.destroy();
    filter = await createFilter(manager, canvas, videoWidth, videoHeight);
  }
  filter.draw(video);
  status.textContent = `${videoWidth}×${videoHeight}, ${++frames} frames filtered`;
  video.requestVideoFrameCallback(() => void showFrame());
}

document.querySelector('button')!.addEventListener('click', () => {
  navigator.mediaDevices.getUserMedia({ video: true }).then(play).catch((error: unknown) => (status.textContent = String(error)));
});
await play(animation());
video.requestVideoFrameCallback(() => void showFrame());
