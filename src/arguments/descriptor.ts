import type { Additions, ConvolutionOptions, Dtype, Padding, Shape4D, TensorArgument } from './geometry.js';

/** How the two passes run: in one kernel, in two with the depthwise result in memory, or as the plan finds best. */
export type Strategy = 'auto' | 'fused' | 'two-pass';

/** What a strategy came to; where there is only one pass, its name. */
export type PlannedStrategy = 'fused' | 'two-pass' | 'depthwise' | 'pointwise';

/**
 * A filter or bias that is on the GPU already, dense numbers of the `dtype` from `offset` bytes (default 0), in a
 * multiple of 4 bytes. It is read at every run.
 */
export interface GpuTensor<Shape extends readonly number[] = Shape4D> {
  /** Extents, as the argument that it stands for demands. */
  readonly shape: Shape;
  /** Of the manager's device; usage STORAGE. It stays the caller's. */
  readonly buffer: GPUBuffer;
  /** Bytes; a multiple of the device's `minStorageBufferOffsetAlignment`. */
  readonly offset?: number | undefined;
}

/** How a convolution runs on the GPU. */
export interface GpuOptions {
  /**
   * `'auto'` (default) takes what the plan finds faster; `'fused'` runs one kernel, `'two-pass'` two. Where there is
   * only one pass, it must be `'auto'`.
   */
  readonly strategy?: Strategy | (string & {}) | undefined;
  /**
   * How input, weights and output are stored; sums are float32. Default `'f32'`; `'f16'` needs a device with the
   * feature `shader-f16`. What lies between two passes is float32 in both, so that a sum beyond 65,504 stays finite.
   */
  readonly dtype?: Dtype | (string & {}) | undefined;
}

/**
 * One convolution with its weights, for inputs of one shape. Either filter may be absent, and its pass with it. A
 * depthwise pass alone is TensorFlow's `tf.nn.depthwise_conv2d`, a pointwise one alone `tf.nn.conv2d` of 1x1, which has
 * strides, but neither padding nor rate. `bias` and `activation` follow the last pass.
 */
export interface ConvolutionDescriptor extends ConvolutionOptions, GpuOptions, Additions {
  /** `[N, H, W, C]` */
  readonly inputShape: readonly number[];
  /** `[KH, KW, C, M]` */
  readonly depthwiseFilter?: TensorArgument | GpuTensor<readonly number[]> | undefined;
  /** `[1, 1, C*M, O]`; without a depthwise pass `[1, 1, C, O]` */
  readonly pointwiseFilter?: TensorArgument | GpuTensor<readonly number[]> | undefined;
  /** `[C*M]`; must be absent where there is one pass */
  readonly depthwiseBias?: Float32Array | GpuTensor<readonly number[]> | undefined;
  /** `[O]`; without a pointwise pass `[C*M]` */
  readonly bias?: Float32Array | GpuTensor<readonly number[]> | undefined;
}

/** A descriptor whose tensors may be shapes only. */
export interface WarmUpDescriptor extends ConvolutionOptions, GpuOptions, Additions {
  /** `[N, H, W, C]` */
  readonly inputShape: readonly number[];
  /** `[KH, KW, C, M]` */
  readonly depthwiseFilter?: Pick<TensorArgument, 'shape'> | undefined;
  /** `[1, 1, C*M, O]`; without a depthwise pass `[1, 1, C, O]` */
  readonly pointwiseFilter?: Pick<TensorArgument, 'shape'> | undefined;
}

/** A descriptor without a depthwise pass: `padding` may be absent then, for there is nothing to pad. */
export type Pointwise<Descriptor> =
  Omit<Descriptor, 'padding' | 'depthwiseFilter' | 'depthwiseBias' | 'depthwiseActivation'> & {
    /** What there is must change nothing. */
    readonly padding?: Padding | undefined;
  };
