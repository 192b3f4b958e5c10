import { untilLost } from './gpu.js';

/**
 * Makes a task that never overlaps itself: a new request aborts the running one, and of the requests that come in while
 * it winds down only the last is served. The task reads what it works on when it starts. What goes wrong in it is for
 * `fail`, the loss of the device too, which ends a task at once.
 */
export function latest(task: (signal: AbortSignal) => Promise<void>, fail: (error: unknown) => void): () => void {
  let running: AbortController | undefined;
  let requested = false;
  const serve = async (): Promise<void> => {
    while (requested) {
      requested = false;
      const { signal } = running = new AbortController();
      try {
        await untilLost(task(signal));
      } catch (error) {
        if (!signal.aborted) fail(error);
      }
      running.abort(new Error('ended')); // What a lost device left behind shall show nothing any more.
    }
    running = undefined;
  };
  return () => {
    requested = true;
    if (running === undefined) serve().catch(reportError);
    else running.abort(new Error('replaced'));
  };
}
