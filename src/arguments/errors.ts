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

/** Elements of an array, and characters of a string, that a message shows. */
const [MOST_ELEMENTS, MOST_CHARACTERS] = [8, 80];

/**
 * A value as an error message shows it, whatever it is: arrays may contain themselves, and objects refuse to be shown.
 */
export function show(value: unknown, depth = 3): string {
  try {
    if (Array.isArray(value)) {
      if (depth === 0) return '[…]';
      const shown = value.slice(0, MOST_ELEMENTS).map((element) => show(element, depth - 1));
      return `[${[...shown, ...(value.length > MOST_ELEMENTS ? [`… ${value.length} in all`] : [])].join(', ')}]`;
    }
    if (typeof value === 'string') return `'${cut(value)}'`;
    if (typeof value === 'bigint') return cut(`${value}n`);
    if (typeof value === 'function') return value.name ? `function ${cut(value.name)}` : 'a function';
    if (value instanceof Error) return String(value);
    return isObject(value) ? Object.prototype.toString.call(value) : String(value);
  } catch {
    return typeof value;
  }
}

/** The error of a value that breaks a rule. */
export const mustBe = (what: string, rule: string, value: unknown): ValueError =>
  new ValueError(`${what} must be ${rule}, got ${show(value)}`);

/** Whether a value has properties, and is no function. */
export const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null;

const cut = (text: string): string => (text.length > MOST_CHARACTERS ? `${text.slice(0, MOST_CHARACTERS)}…` : text);

/** What is in a file of its own, loaded when it is needed. @throws SepconvError where it is not to be had */
export const loaded = <T>(file: string, load: () => Promise<T>): Promise<T> => load().catch((cause: unknown) => {
  throw new SepconvError(`${file} could not be loaded: all files of the package must be served beside each other `
    + `(${show(cause)})`, { cause });
});
