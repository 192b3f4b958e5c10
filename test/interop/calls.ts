/** Calls `listener` with the arguments of every call of a method from now on, before the call; it may throw. */
export function onCall<T extends object>(
  prototype: T, method: keyof T & string, listener: (...args: unknown[]) => void,
): void {
  const original = prototype[method] as (...args: unknown[]) => unknown;
  Object.defineProperty(prototype, method, {
    configurable: true,
    value(this: T, ...args: unknown[]) {
      listener(...args);
      return original.apply(this, args);
    },
  });
}
