import { DeviceLostError, PipelineManager } from 'sepconv-webgpu';

/** What can happen to the GPU while a page is open, in words: for the demo page and for the examples. */

/** Milliseconds for an adapter and a device. A software adapter on a busy machine takes some of them. */
const PATIENCE = 20_000;

/** The browser was asked for the GPU, and is silent. */
export class SilenceError extends Error {
  override name = 'SilenceError';
}

/** A manager on a device of its own. @throws SilenceError; UnsupportedError */
export async function askForManager(): Promise<PipelineManager> {
  const asked = PipelineManager.create();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const silence = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      asked.then((late) => late.destroy(), () => undefined); // Nobody waits for it any more.
      reject(new SilenceError('The browser was asked for a GPU device and has not answered. '
        + 'The GPU may be busy, or its driver may hang.'));
    }, PATIENCE);
  });
  try {
    return await Promise.race([asked, silence]);
  } finally {
    clearTimeout(timer);
  }
}

/** A loss as an error. */
export const lossError = ({ reason, message }: GPUDeviceLostInfo): DeviceLostError =>
  new DeviceLostError(`The GPU device was lost (${reason}): ${message}`);

/** A heading for an error of the GPU as a whole. */
export function titleOf(error: unknown): string {
  if (error instanceof SilenceError) return 'The GPU does not answer';
  if (error instanceof DeviceLostError) return 'The GPU went away';
  return 'WebGPU is not available here';
}
