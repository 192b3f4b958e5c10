/** Keeps the screen on until the signal, where the browser can: a phone that sleeps takes the GPU away. */
export function keepScreenOn(signal: AbortSignal): void {
  if (!('wakeLock' in navigator)) return;
  const keep = async (): Promise<void> => {
    if (document.visibilityState === 'hidden' || signal.aborted) return;
    // It is refused when the battery is low.
    const lock = await navigator.wakeLock.request('screen').catch(() => undefined);
    const release = (): void => void lock?.release();
    if (signal.aborted) release();
    else signal.addEventListener('abort', release);
  };
  // A hidden page loses it.
  document.addEventListener('visibilitychange', () => void keep(), { signal });
  void keep();
}
