/** Puts a function around a method of a class. */
export function wrap<T, K extends keyof T>(type: T, name: K, around: (method: T[K]) => T[K]): void {
  type[name] = around(type[name]);
}
