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

/** A value as an error message shows it. */
export function show(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(show).join(', ')}]`;
  if (typeof value === 'string') return `'${value}'`;
  return typeof value === 'object' && value !== null ? Object.prototype.toString.call(value) : String(value);
}
