import {
  type ConvolutionDescriptor, type ConvolutionOptions, PipelineManager, separableConv2d, type Shape4D,
  type Tensor4D, UnsupportedError,
} from 'sepconv-webgpu';
import { separableConv2dReference } from 'sepconv-webgpu/reference';
import { fromFloat16, toFloat16 } from '../src/gpu/float16.js';
import { sumBound } from './bounds.js';
import { random, randomData } from './random.js';

/**
 * How tensors are stored, float16 and in bands, through the public API in a real browser. Each throws when it is wrong.
 */

const elements = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);
const GUARD = 0x7ead7ead; // As two float16 or one float32 a value that no test computes.

function check(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(message);
}

function checkClose(
  actual: Tensor4D, expected: Tensor4D, terms: number, what: string, dtype: 'f32' | 'f16' = 'f32', scale = 1,
): void {
  check(String(actual.shape) === String(expected.shape),
    `${what}: shape ${String(actual.shape)}, not ${String(expected.shape)}`);
  check(actual.data.length === expected.data.length,
    `${what}: ${actual.data.length} elements, not ${expected.data.length}`);
  for (const [i, value] of expected.data.entries()) {
    const error = Math.abs(actual.data[i]! - value);
    check(error <= sumBound(terms, terms * scale, false, dtype, value),
      `${what}: element ${i} is ${actual.data[i]}, not ${value}`);
  }
}

async function checkUnsupported(work: () => unknown, message: string): Promise<void> {
  const error: unknown = await Promise.resolve().then(work).then(() => undefined, (reason: unknown) => reason);
  check(error instanceof UnsupportedError && error.message.includes(message),
    `expected UnsupportedError '${message}', got ${String(error)}`);
}

/** Values that float16 holds exactly, so that the reference sees what the GPU does. */
const half = (values: Float32Array) => fromFloat16(toFloat16(values).buffer, values.length);

export function storageScenarios(seed: number): Readonly<Record<string, () => Promise<void>>> {
  const next = random(seed);
  const tensor = (...shape: Shape4D): Tensor4D => ({ shape, data: randomData(elements(shape), next) });
  const halfTensor = (...shape: Shape4D): Tensor4D => ({ shape, data: half(randomData(elements(shape), next)) });

  return {
    async "dtype 'f16': one call, prepared, encoded; odd counts; sums beyond 65,504"() {
      const manager = await PipelineManager.create();
      const { device } = manager;
      const [x, d, p] = [halfTensor(2, 7, 5, 6), halfTensor(3, 3, 6, 2), halfTensor(1, 1, 12, 13)];
      const options = {
        padding: 'SAME', depthwiseBias: half(randomData(12, next)), bias: half(randomData(13, next)),
        activation: 'relu',
      } as const;
      if (!device.features.has('shader-f16')) {
        await checkUnsupported(() => separableConv2d(x, d, p, { ...options, dtype: 'f16', manager }), 'shader-f16');
        return manager.destroy();
      }
      for (const strategy of ['fused', 'two-pass'] as const) {
        const one = await separableConv2d(x, d, p, { ...options, strategy, dtype: 'f16', manager });
        checkClose(one, separableConv2dReference(x, d, p, options), 21, strategy, 'f16');
        // 3 x 3 x 5 x 1 outputs: an odd count, whose last float16 shares a word with a guard.
        const odd: ConvolutionDescriptor = {
          inputShape: [1, 3, 5, 1], depthwiseFilter: halfTensor(3, 3, 1, 1), pointwiseFilter: halfTensor(1, 1, 1, 1),
          padding: 'SAME', strategy, dtype: 'f16',
        };
        const conv = await manager.prepare(odd);
        check(conv.inputByteLength === 32 && conv.outputByteLength === 32,
          `${conv.inputByteLength}, ${conv.outputByteLength} bytes`);
        const image = halfTensor(1, 3, 5, 1);
        const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC;
        const [input, output] = [32, 32].map((size) => device.createBuffer({ size, usage })) as [GPUBuffer, GPUBuffer];
        device.queue.writeBuffer(input, 0, toFloat16(image.data));
        device.queue.writeBuffer(output, 0, new Uint32Array(8).fill(GUARD));
        const readable = device.createBuffer({ size: 32, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
        const encoder = device.createCommandEncoder();
        const pass = encoder.beginComputePass();
        conv.encode(pass, { input, output });
        pass.end();
        encoder.copyBufferToBuffer(output, 0, readable, 0, 32);
        device.queue.submit([encoder.finish()]);
        await readable.mapAsync(GPUMapMode.READ);
        const words = readable.getMappedRange().slice(0);
        const reference = separableConv2dReference(
          image, odd.depthwiseFilter as Tensor4D, odd.pointwiseFilter as Tensor4D, { padding: 'SAME' });
        checkClose(
          { shape: [1, 3, 5, 1], data: fromFloat16(words, 15) }, reference, 10, `${strategy}, odd`, 'f16');
        check(new Uint16Array(words)[15] === GUARD % 2 ** 16, 'the half word beside the output was overwritten');
        // onnxruntime #26367: nine times 60,000 is no float16, a sixteenth of it is.
        const ones = (shape: Shape4D, value: number): Tensor4D =>
          ({ shape, data: new Float32Array(elements(shape)).fill(value) });
        const [large, sum, share] = [ones([1, 3, 3, 4], 60000), ones([3, 3, 4, 1], 1), ones([1, 1, 4, 4], 2 ** -6)];
        const { data } = await separableConv2d(large, sum, share, {
          padding: 'VALID', strategy, dtype: 'f16', manager,
        });
        check(data.every((value) => Math.abs(value - 33750) <= 32), `${strategy}: ${data.join()}, not 33750`);
      }
      manager.destroy();
    },

    async 'tensors larger than a binding go in bands, in one pass; what cannot is refused with the numbers'() {
      const manager = await PipelineManager.create({ maxBindingBytes: 4096 });
      const cases: readonly { shape: Shape4D; M: number; O: number; options: ConvolutionOptions }[] = [
        { shape: [2, 33, 21, 5], M: 2, O: 11, options: { padding: 'SAME', strides: 2 } },
        { shape: [1, 40, 20, 8], M: 1, O: 12, options: { padding: [[4, 3], [0, 2]], rate: 2 } },
        { shape: [9, 6, 8, 4], M: 1, O: 4, options: { padding: 'VALID' } },
        // Filter columns in slices of 36, or 33 and fewer.
        { shape: [3, 4, 5, 28], M: 1, O: 60, options: { padding: 'SAME' } },
        { shape: [3, 4, 5, 28], M: 1, O: 63, options: { padding: 'SAME' } },
      ];
      for (const { shape, M, O, options } of cases) {
        const [x, d, p] = [tensor(...shape), tensor(3, 3, shape[3], M), tensor(1, 1, shape[3] * M, O)];
        const bias = randomData(O, next);
        for (const strategy of ['fused', 'two-pass'] as const) {
          const conv = await manager.prepare({
            ...options, inputShape: shape, depthwiseFilter: d, pointwiseFilter: p, bias, strategy,
          });
          check(conv.kernels.length > (strategy === 'fused' ? 1 : 2), `one band for ${String(shape)}`);
          checkClose(await conv.run(x), separableConv2dReference(x, d, p, { ...options, bias }), 10 + shape[3] * M,
            `${String(shape)} ${strategy}`);
          conv.destroy();
        }
      }
      const [x, d, p] = [tensor(1, 4, 200, 8), tensor(3, 3, 8, 1), tensor(1, 1, 8, 8)];
      await checkUnsupported(
        () => separableConv2d(x, d, p, { padding: 'SAME', manager }), 'reads 19200 bytes of input');
      await checkUnsupported(() => separableConv2d(
        tensor(1, 1, 1, 260), tensor(1, 1, 260, 1), tensor(1, 1, 260, 260), { padding: 'SAME', manager }),
        'pointwiseFilter [K, 4] has 4160 bytes');
      manager.destroy();
    },

    async 'an input of 331 MB on a device of default limits: portions of a buffer, in bands of a binding'() {
      const adapter = await navigator.gpu.requestAdapter();
      const device = await adapter!.requestDevice();
      const manager = await PipelineManager.create({ device });
      const shape = [1, 9000, 2300, 4] as const;
      check(
        elements(shape) * 4 > device.limits.maxBufferSize, `a buffer may have ${device.limits.maxBufferSize} bytes`);
      const [x, d, p] = [tensor(...shape), tensor(3, 3, 4, 1), tensor(1, 1, 4, 1)];
      const options = { padding: 'SAME', allowOverparameterized: true } as const;
      const conv = await manager.prepare({ ...options, inputShape: shape, depthwiseFilter: d, pointwiseFilter: p });
      check(conv.kernels.length >= 3, `bands ${conv.kernels.join()}`);
      const pass = device.createCommandEncoder().beginComputePass();
      const small = device.createBuffer({ size: 16, usage: GPUBufferUsage.STORAGE });
      await checkUnsupported(() => conv.encode(pass, { input: small, output: small }), 'use run');
      const { data } = await conv.run(x);
      check(data.length === 9000 * 2300, `${data.length} results`);
      for (let sample = 0; sample < 2000; sample++) {
        // A row in eight is at the border of an eighth of the image, where portions and bands meet.
        const [oy, ox] = [
          sample % 8 ? Math.floor(next() * 9000) : Math.min(8999, Math.floor(next() * 9) * 1125),
          Math.floor(next() * 2300),
        ];
        const patch = new Float32Array(36);
        for (let i = 0; i < 9; i++) {
          const [y, column] = [oy + Math.floor(i / 3) - 1, ox + (i % 3) - 1];
          if (y < 0 || y >= 9000 || column < 0 || column >= 2300) continue;
          const from = (y * 2300 + column) * 4;
          patch.set(x.data.subarray(from, from + 4), i * 4);
        }
        const expected = separableConv2dReference(
          { shape: [1, 3, 3, 4], data: patch }, d, p, { ...options, padding: 'VALID' }).data[0]!;
        const got = data[oy * 2300 + ox]!;
        check(Math.abs(got - expected) <= sumBound(13, 36), `at (${oy}, ${ox}): ${got}, not ${expected}`);
      }
      device.destroy();
    },
  };
}
