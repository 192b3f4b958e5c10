/**
 * Makes a task that never overlaps itself: a new request aborts the running one, and of the requests that come in while
 * it winds down only the last is served. The task reads what it works on when it starts.
 */
export function latest(task: (signal: AbortSignal) => Promise<void>): () => void {
  let running: AbortController | undefined;
  let requested = false;
  const serve = async (): Promise<void> => {
    while (requested) {
      requested = false;
      running = new AbortController();
      try {
        await task(running.signal);
      } catch (error) {
        if (!running.signal.aborted) reportError(error);
      }
    }
    running = undefined;
  };
  return () => {
    requested = true;
    if (running === undefined) serve().catch(reportError);
    else running.abort();
  };
}
