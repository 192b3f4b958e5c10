import { DeviceLostError, PipelineManager } from 'sepconv-webgpu';
import { showLoss } from '../report.js';
import { animation } from './animation.js';
import { createFilter, type PictureFilter } from './filter.js';

/** Filters every frame of a video: of an animation at first, then of the webcam or of a file if one asks for it. */

const video = document.querySelector('video')!;
const canvas = document.querySelector<HTMLCanvasElement>('#output')!;
const say = (id: 'status' | 'message', text: string): string => (document.getElementById(id)!.textContent = text);

const manager = await PipelineManager.create();
let lost = false;
let filter: PictureFilter | undefined;
let [frames, skipped] = [0, 0];

/** Filters the frame that is shown now. One that the browser cannot copy is skipped, because the next one will do. */
async function showFrame(): Promise<void> {
  const { videoWidth, videoHeight } = video;
  let reason = '';
  try {
    if (!filter || canvas.width !== videoWidth || canvas.height !== videoHeight) {
      filter?.destroy();
      filter = undefined;
      filter = await createFilter(manager, canvas, videoWidth, videoHeight);
    }
    filter.draw(video);
    frames++;
  } catch (error) {
    if (error instanceof DeviceLostError) return; // It is told below.
    skipped++;
    reason = ` (${String(error)})`;
  }
  const missed = skipped > 0 ? `, ${skipped} skipped${reason}` : '';
  say('status', `${videoWidth}×${videoHeight}, ${frames} frames filtered${missed}`);
}

function waitForFrame(): void {
  if (!lost) video.requestVideoFrameCallback(() => void showFrame().then(waitForFrame));
}

/** Aborted when another source takes over. */
let shown = new AbortController();

/** Shows a stream, or a file in a loop. The animation takes over from a named one that cannot be shown, or ends. */
async function play(source: MediaStream | File, name?: string): Promise<void> {
  shown.abort();
  const { signal } = shown = new AbortController();
  const giveUp = (why: string): void => {
    if (signal.aborted) return;
    say('message', `${name ?? 'The animation'} ${why}`);
    if (name !== undefined) void play(animation());
  };
  video.addEventListener('error', () => giveUp('cannot be played by this browser.'), { signal });
  if (source instanceof MediaStream) {
    for (const track of source.getTracks()) {
      track.addEventListener('ended', () => giveUp('has ended.'), { signal });
      signal.addEventListener('abort', () => track.stop());
    }
    video.srcObject = source;
  } else {
    const url = URL.createObjectURL(source);
    signal.addEventListener('abort', () => URL.revokeObjectURL(url));
    video.src = url;
    video.srcObject = null;
  }
  try {
    await video.play();
    if (video.videoWidth === 0) giveUp('has no pictures.');
  } catch {
    giveUp('cannot be played by this browser.');
  }
}

async function useWebcam(): Promise<void> {
  say('message', '');
  try {
    await play(await navigator.mediaDevices.getUserMedia({ video: true }), 'The webcam');
  } catch (error) { // What was shown goes on.
    say('message', `The webcam cannot be used: ${String(error)}`);
  }
}

document.querySelector('button')!.addEventListener('click', () => void useWebcam());
document.querySelector('input')!.addEventListener('change', ({ currentTarget }) => {
  const file = (currentTarget as HTMLInputElement).files?.[0];
  say('message', '');
  if (file) void play(file, file.name);
});
manager.lost.then((info) => {
  lost = true;
  shown.abort(); // The camera goes off.
  showLoss(info);
}, reportError);
waitForFrame();
await play(animation());
