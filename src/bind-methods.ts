/**
 * Binds methods to their object, so that they work on a Proxy of it too: reactive state of Vue or MobX wraps what it
 * holds, and private fields are not to be had through a Proxy.
 */
export function bindMethods<T extends object>(object: T, ...names: readonly (keyof T)[]): void {
  for (const name of names) {
    const method = object[name] as (...args: unknown[]) => unknown;
    Object.defineProperty(object, name, { value: method.bind(object), writable: true, configurable: true });
  }
}
