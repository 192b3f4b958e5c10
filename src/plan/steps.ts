import type { Weight } from '../arguments/call.js';
import type { Dispatch } from './dispatch.js';

/** A part of a buffer, in bytes, or of a tensor, in elements. */
export interface Range {
  readonly offset: number;
  readonly size: number;
}

/** A value that a step reads or writes, and which bytes of it; absent: all. */
export interface Use<Value extends string = string> {
  readonly value: Value;
  readonly range: Range | undefined;
}

/** One dispatch, and what it binds after its uniforms: what it reads, then what it writes. */
export interface Step<Value extends string = string> {
  readonly dispatch: Dispatch;
  readonly reads: readonly Use<Value>[];
  readonly writes: Use<Value>;
  /** Runs only once, when the program is made, because all that it reads was uploaded then. */
  readonly once: boolean;
}

/** Some columns of a matrix that has `total` columns. */
export interface Columns extends Range {
  readonly total: number;
}

/** Where a value is. Byte lengths are multiples of 4. */
export type Place =
  /** In a buffer that the caller gives with each run. */
  | { readonly kind: 'caller'; readonly byteLength: number }
  /** A filter or bias, or those of its columns that a slice of the output channels needs; zeros where it is absent. */
  | {
    readonly kind: 'weight'; readonly byteLength: number; readonly weight: Weight;
    readonly columns: Columns | undefined;
  }
  /** In memory between the steps, which the programs of a device share; or in a buffer that the caller gives. */
  | { readonly kind: 'scratch'; readonly byteLength: number }
  | { readonly kind: 'zeros' | 'ones'; readonly byteLength: number }
  /** A matrix of so many rows, as a texture of 4 columns a texel. */
  | { readonly kind: 'texture'; readonly rows: number; readonly columns: number }
  /** The sampler, which reads single texels of textures. */
  | { readonly kind: 'sampler' };

/** Steps in an order in which they can run, and the place of each value that they use. */
export interface Plan<Value extends string = string> {
  readonly steps: readonly Step<Value>[];
  readonly places: ReadonlyMap<Value, Place>;
}

/** Bytes of a value that is in a buffer; 0 for one that is elsewhere, or for no value. */
export const byteLengthOf = (place: Place | undefined): number =>
  (place === undefined || place.kind === 'texture' || place.kind === 'sampler' ? 0 : place.byteLength);
