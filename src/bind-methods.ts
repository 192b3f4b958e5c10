/**
 * Binds methods to their object, so that they also work when called on a Proxy of it. The reactive state of Vue and
 * MobX wraps objects in Proxies, and private fields cannot be read through a Proxy.
 */
export function bindMethods<T extends object>(object: T, ...names: readonly (keyof T)[]): void {
  for (const name of names) {
    const method = object[name] as (...args: unknown[]) => unknown;
    Object.defineProperty(object, name, { value: method.bind(object), writable: true, configurable: true });
  }
}
