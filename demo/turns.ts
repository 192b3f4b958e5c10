/**
 * Makes work take turns: at once where none is going on, else after it. What failed does not keep the next from its
 * turn.
 */
export function takingTurns(): <T>(work: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> | undefined;
  return (work) => {
    const result = last === undefined ? work() : last.then(work);
    const ended = result.catch(() => undefined).then(() => {
      if (last === ended) last = undefined;
    });
    last = ended;
    return result;
  };
}
