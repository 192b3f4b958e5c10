import type { WebGPUBackend } from '@tensorflow/tfjs-backend-webgpu';
import { customGrad, engine, type GradSaveFunc, type Tensor, type Tensor4D, zeros } from '@tensorflow/tfjs-core';
import type { Convolution } from '../convolution.js';
import { type Geometry, outputShape, type Shape4D } from '../arguments/geometry.js';
import { bufferOf, type Call, isEmpty } from './arguments.js';
import { derivativeByTfjs, type Factor, type Factors, factorShape, factorsOf, type Filter } from './factors.js';
import { entryFor, type Training, trainingFor } from './prepared.js';

/** The result of a call: by this library where its kernels are there, else by tfjs's. */
export function result(call: Call): Tensor4D {
  if (engine().state.gradientDepth > 0) return derivatives(call, call.tensors, ['dy'])[0]!;
  if (isEmpty(call)) return zerosFor(call.geometry, 'dy');
  const { convolution } = entryFor(call);
  return convolution ? run(call, convolution) : derivativeByTfjs(call.geometry, call.tensors, 'dy');
}

/**
 * The derivatives of the sum of `dy * y` by some factors, each of which has derivatives again, of every order. All are
 * computed in one pass, or by tfjs where this library's kernels are not there: they may have come or gone meanwhile.
 */
function derivatives(call: Call, factors: Factors, wanted: readonly Factor[]): Tensor4D[] {
  const { geometry } = call;
  const training = isEmpty(call) ? undefined : trainingFor(call).training;
  const computed = training && compute(call, training, factors, wanted);
  return wanted.map((factor, i) => {
    const others = factorsOf(geometry).filter((one) => one !== factor);
    const operation = customGrad((...args) => {
      const save = args.pop() as GradSaveFunc;
      save(args as Tensor[]);
      const byTfjs = () => (isEmpty(call) ? zerosFor(geometry, factor) : derivativeByTfjs(geometry, factors, factor));
      const gradFunc = (given: Tensor, saved: Tensor[]): Tensor[] => {
        const known = Object.fromEntries(others.map((one, j) => [one, saved[j]!]));
        return derivatives(call, { ...known, [factor]: given }, others);
      };
      return { value: computed?.[i] ?? byTfjs(), gradFunc };
    });
    return operation(...others.map((one) => factors[one]!)) as Tensor4D;
  });
}

/** Computes derivatives in one pass, on the training's own copies of the filters. tfjs records none of it. */
function compute(call: Call, training: Training, factors: Factors, wanted: readonly Factor[]): Tensor4D[] {
  const { webgpu, geometry } = call;
  const { convolution, gradients, filters } = training;
  const results = wanted.map((factor) => resultOf(webgpu, factorShape(geometry, factor)));
  // tfjs records uploads too, so all buffers are requested before it submits.
  const buffers = (tensors: Factors): Partial<Record<Factor, GPUBuffer>> =>
    Object.fromEntries(Object.entries(tensors).map(([factor, one]) => [factor, bufferOf(call, one)]));
  const from = buffers(factors);
  const to = buffers(Object.fromEntries(wanted.map((factor, i) => [factor, results[i]!])));
  submit(webgpu, convolution.label, (encoder) => {
    for (const [filter, buffer] of Object.entries(filters) as [Filter, GPUBuffer][]) {
      encoder.copyBufferToBuffer(from[filter]!, 0, buffer, 0, factors[filter]!.size * 4);
    }
    const pass = encoder.beginComputePass({ label: convolution.label });
    if (to.dy) convolution.encode(pass, { input: from.x!, output: to.dy });
    if (from.dy) {
      gradients.encode(pass, {
        input: from.x!, outputGradient: from.dy, ...(to.x && { inputGradient: to.x }),
        ...(to.depthwiseFilter && { depthwiseFilterGradient: to.depthwiseFilter }),
        ...(to.pointwiseFilter && { pointwiseFilterGradient: to.pointwiseFilter }),
      });
    }
    pass.end();
  });
  return results;
}

/** The result of an empty call: no elements, or sums of nothing. */
function zerosFor(geometry: Geometry, factor: Factor): Tensor4D {
  return zeros([...factorShape(geometry, factor)]);
}

function run(call: Call, convolution: Convolution): Tensor4D {
  const { webgpu, tensors, geometry } = call;
  const y = resultOf(webgpu, outputShape(geometry));
  const [input, output] = [bufferOf(call, tensors.x), bufferOf(call, y)];
  submit(webgpu, convolution.label, (encoder) => {
    const pass = encoder.beginComputePass({ label: convolution.label });
    convolution.encode(pass, { input, output });
    pass.end();
  });
  return y;
}

/**
 * A tensor in a buffer from tfjs's pool, to which the buffer returns when the tensor is disposed. A buffer of our own,
 * given to `tf.tensor` with `zeroCopy`, would never be freed by tfjs.
 */
function resultOf(webgpu: WebGPUBackend, shape: Shape4D): Tensor4D {
  return engine().makeTensorFromTensorInfo(webgpu.makeTensorInfo([...shape], 'float32'), webgpu) as Tensor4D;
}

/** Runs after all that tfjs has recorded so far, which may be what computes the input. */
function submit(webgpu: WebGPUBackend, label: string, record: (encoder: GPUCommandEncoder) => void): void {
  webgpu.endComputePassEncoder();
  webgpu.ensureCommandEncoderReady(); // `submitQueue` needs one.
  webgpu.submitQueue();
  const encoder = webgpu.device.createCommandEncoder({ label });
  record(encoder);
  webgpu.device.queue.submit([encoder.finish()]);
}
