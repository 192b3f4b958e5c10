import { lossError, titleOf } from '../watch.js';

/** Tells on an example's page what went wrong, in place of what was awaited and of what was told before. */
export function showTrouble(title: string, message: string, ...more: Node[]): void {
  for (const waiting of document.querySelectorAll('pre, #status')) {
    if (waiting.textContent.trimEnd().endsWith('…')) waiting.textContent = '';
  }
  document.querySelector('[role=alert]')?.remove();
  const trouble = Object.assign(document.createElement('section'), { role: 'alert' });
  trouble.append(
    Object.assign(document.createElement('h2'), { textContent: title }),
    Object.assign(document.createElement('p'), { textContent: message }), ...more,
  );
  document.querySelector('h1')!.after(trouble); // Where it is seen without scrolling.
}

/** For trouble with the GPU as a whole, which may pass. */
export function showGpuTrouble(error: unknown): void {
  const again = Object.assign(document.createElement('button'), { type: 'button', textContent: 'Try again' });
  again.addEventListener('click', () => location.reload());
  const reason = error instanceof Error ? error.message : String(error);
  // A browser without WebGPU has none later either.
  showTrouble(titleOf(error), reason, ...('gpu' in navigator ? [again] : []));
}

/** For `device.lost`. */
export const showLoss = (info: GPUDeviceLostInfo): void => showGpuTrouble(lossError(info));

/** What nothing caught. After a first trouble it is mostly what that one led to. */
export function showError(error: unknown): void {
  if (!document.querySelector('[role=alert]')) showTrouble('The example stopped', String(error));
}
addEventListener('error', ({ message }) => showError(message));
addEventListener('unhandledrejection', ({ reason }) => showError(reason));
