/** Base of every error that this library throws on purpose. */
export class SepconvError extends Error {
  /** `'SepconvError'` */
  override name = 'SepconvError';
}

/** The caller's arguments break a rule. Thrown before any GPU call. */
export class ValueError extends SepconvError {
  /** `'ValueError'` */
  override name = 'ValueError';
}

/** The arguments are right, but this browser, device or version cannot do it. */
export class UnsupportedError extends SepconvError {
  /** `'UnsupportedError'` */
  override name = 'UnsupportedError';
}

/** The GPU device is gone: lost by the system, or destroyed by its owner. */
export class DeviceLostError extends SepconvError {
  /** `'DeviceLostError'` */
  override name = 'DeviceLostError';
}

/** A value as an error message shows it, whatever it is: arrays may contain themselves, and objects refuse to be shown. */
export function show(value: unknown, depth = 3): string {
  try {
    if (Array.isArray(value)) return depth > 0 ? `[${value.map((element) => show(element, depth - 1)).join(', ')}]` : '[…]';
    if (typeof value === 'string') return `'${value}'`;
    if (value instanceof Error) return String(value);
    return typeof value === 'object' && value !== null ? Object.prototype.toString.call(value) : String(value);
  } catch {
    return typeof value;
  }
}
