/** A webcam or a video file in a video element, frame by frame. */

/**
 * Starts the webcam. When the signal is aborted before the user has allowed it, it goes off again as soon as it is on.
 * @throws Error in plain words
 */
export async function openCamera(width: number, signal: AbortSignal): Promise<MediaStream> {
  const asked = navigator.mediaDevices.getUserMedia({ video: { width: { ideal: width }, facingMode: 'user' } });
  try {
    return await untilAborted(asked, signal);
  } catch (cause) {
    asked.then(turnOff, () => undefined);
    signal.throwIfAborted();
    throw new Error(cameraTrouble(cause), { cause });
  }
}

function turnOff(stream: MediaStream): void {
  for (const track of stream.getTracks()) track.stop();
}

async function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const abort = (): void => reject(signal.reason as Error);
  signal.addEventListener('abort', abort);
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

function cameraTrouble(error: unknown): string {
  const name = error instanceof DOMException ? error.name : '';
  if (name === 'NotAllowedError') {
    return 'The webcam may not be used: this page was not allowed to. The browser’s address bar has that setting.';
  }
  if (name === 'NotFoundError' || name === 'OverconstrainedError') return 'No webcam was found.';
  if (name === 'NotReadableError') return 'The webcam does not answer. Another program may be using it.';
  return `The webcam cannot be used: ${error instanceof Error ? error.message : String(error)}`;
}

/**
 * Plays a stream, or a video file in a loop, until the signal is aborted; then the camera goes off.
 * @throws Error in plain words for a file that is no video
 */
export async function play(
  video: HTMLVideoElement, source: MediaStream | Blob, name: string, signal: AbortSignal,
): Promise<void> {
  if (source instanceof MediaStream) {
    signal.addEventListener('abort', () => {
      turnOff(source);
      if (video.srcObject === source) video.srcObject = null;
    });
    video.srcObject = source;
  } else {
    const url = URL.createObjectURL(source);
    signal.addEventListener('abort', () => {
      if (video.src === url) video.removeAttribute('src');
      URL.revokeObjectURL(url);
    });
    video.srcObject = null;
    video.src = url;
  }
  try {
    await video.play();
  } catch (cause) {
    signal.throwIfAborted();
    throw new Error(`${name} is not a video that this browser can play.`, { cause });
  }
  if (video.videoWidth === 0) throw new Error(`${name} has no pictures.`);
}

/**
 * Waits for a frame that was not there before; for ever while the video is paused.
 * @throws Error when aborted, and in plain words where a video ends in the middle
 */
export async function nextFrame(video: HTMLVideoElement, signal: AbortSignal): Promise<void> {
  const { promise: damaged, reject } = Promise.withResolvers<never>();
  const fail = (): void => reject(new Error('The video is damaged: it cannot be played any further.'));
  if (video.error !== null) fail();
  video.addEventListener('error', fail);
  const frame = new Promise<void>((resolve) => {
    if ('requestVideoFrameCallback' in video) video.requestVideoFrameCallback(() => resolve());
    else requestAnimationFrame(() => resolve()); // Draws a frame twice now and then.
  });
  try {
    await untilAborted(Promise.race([frame, damaged]), signal);
  } finally {
    video.removeEventListener('error', fail);
  }
}
