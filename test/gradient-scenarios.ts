import {
  type ConvolutionDescriptor, type ConvolutionGradients, DeviceLostError, type GradientTargets, PipelineManager,
  SepconvError, separableConv2dGradients,
  type Tensor4D, UnsupportedError, ValueError,
} from 'sepconv-webgpu';
import { separableConv2dGradientsReference, separableConv2dReference } from 'sepconv-webgpu/reference';
import { guarded, GUARD_BYTES, unguarded } from './guard.js';
import { borrowedDevice, check, checkThrows, counted, download, STORAGE, tensor, upload } from './scenarios.js';

/** The backward pass as an app uses it, in a real browser. Each scenario throws when something is wrong. */

const NAMES = [
  'inputGradient', 'depthwiseFilterGradient', 'pointwiseFilterGradient', 'depthwiseBiasGradient', 'biasGradient',
] as const;
const vector = (length: number): Float32Array => tensor(1, 1, 1, length).data;

/**
 * Relative to the largest value. The steps have tolerances of their own in
 * gradient-checks.ts; here what shows is wrong wiring.
 */
const MOST_ERROR = 1e-5;

function checkGradients(actual: ConvolutionGradients, expected: ConvolutionGradients, what: string): void {
  check(
    Object.keys(actual).join() === Object.keys(expected).join(), `${what}: gradients ${Object.keys(actual).join()}`);
  for (const key of Object.keys(expected) as (keyof ConvolutionGradients)[]) {
    const [got, wanted] = [actual[key]!, expected[key]!];
    const [data, reference] = [got, wanted].map((value) =>
      ('data' in value ? value.data : value)) as [Float32Array, Float32Array];
    check(data.length === reference.length && reference.some((value) => value !== 0),
      `${what}: ${key} has ${data.length} values`);
    if ('shape' in got && 'shape' in wanted) {
      check(String(got.shape) === String(wanted.shape), `${what}: ${key} is ${String(got.shape)}`);
    }
    const largest = reference.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    for (const [i, value] of reference.entries()) {
      check(Math.abs(data[i]! - value) <= MOST_ERROR * largest, `${what}: ${key}[${i}] is ${data[i]}, not ${value}`);
    }
  }
}

const equal = (a: ConvolutionGradients, b: ConvolutionGradients): boolean =>
  JSON.stringify(bits(a)) === JSON.stringify(bits(b));
const bits = ({ input, depthwiseFilter, pointwiseFilter, depthwiseBias, bias }: ConvolutionGradients) =>
  [input.data, depthwiseFilter?.data, pointwiseFilter?.data, depthwiseBias, bias]
    .map((data) => data && [...new Uint32Array(data.slice().buffer)]);

interface Problem {
  x: Tensor4D;
  dy: Tensor4D;
  descriptor: ConvolutionDescriptor & { depthwiseFilter: Tensor4D; pointwiseFilter: Tensor4D };
}

/** A layer on `[1, 8, 7, C]` with an upstream gradient. */
function problem(
  C: number, M: number, O: number,
  more: Omit<Partial<ConvolutionDescriptor>, 'depthwiseFilter' | 'pointwiseFilter'> = {},
): Problem {
  const x = tensor(1, 8, 7, C);
  const descriptor = {
    inputShape: x.shape, depthwiseFilter: tensor(3, 3, C, M), pointwiseFilter: tensor(1, 1, C * M, O),
    padding: 'SAME', ...more,
  } as const;
  const { shape } = separableConv2dReference(x, descriptor.depthwiseFilter, descriptor.pointwiseFilter, {
    padding: descriptor.padding, strides: descriptor.strides ?? 1,
  });
  return { x, dy: tensor(...shape as [number, number, number, number]), descriptor };
}

/** Buffers of the caller's: what is given, and guarded targets for what is asked for. */
function buffersFor(
  device: GPUDevice, { x, dy }: Problem, lengths: Readonly<Record<string, number>>,
  wanted: readonly (typeof NAMES)[number][],
) {
  const targets = Object.fromEntries(wanted.map((name) => {
    const words = guarded(lengths[name]!);
    const buffer = device.createBuffer({ size: words.byteLength, usage: STORAGE });
    device.queue.writeBuffer(buffer, 0, words);
    return [name, { buffer, offset: GUARD_BYTES, size: lengths[name]! }];
  })) as Record<(typeof NAMES)[number], { buffer: GPUBuffer; offset: number; size: number }>;
  return {
    given: { input: upload(device, x.data), outputGradient: { buffer: upload(device, dy.data, 256), offset: 256 } },
    targets,
  };
}

export const gradientScenarios: Readonly<Record<string, () => Promise<void>>> = {
  async 'gradients in one call, with biases and activations'() {
    for (const [C, M, O, strides] of [[4, 1, 8, 1], [3, 2, 7, 2], [2, 4, 9, [1, 3]]] as const) {
      const options = {
        padding: 'SAME', strides, name: 'block1', depthwiseActivation: 'tanh', activation: 'sigmoid',
        depthwiseBias: vector(C * M), bias: vector(O),
      } as const;
      const { x, dy, descriptor: { depthwiseFilter, pointwiseFilter } } = problem(C, M, O, { strides });
      const actual = await separableConv2dGradients(dy, x, depthwiseFilter, pointwiseFilter, options);
      checkGradients(
        actual, separableConv2dGradientsReference(dy, x, depthwiseFilter, pointwiseFilter, options), `C = ${C}`);
      const again = await separableConv2dGradients(dy, x, depthwiseFilter, pointwiseFilter, options);
      check(equal(actual, again), 'a second call gave other bits');
      const plain = { padding: 'SAME', strides } as const;
      checkGradients(await separableConv2dGradients(dy, x, depthwiseFilter, pointwiseFilter, plain),
        separableConv2dGradientsReference(dy, x, depthwiseFilter, pointwiseFilter, plain), 'without biases');
    }
  },

  async 'overlapping runs of gradients share nothing but the device'() {
    using manager = await PipelineManager.create();
    const [one, other] = [
      problem(4, 1, 8, { depthwiseActivation: 'elu' }), problem(4, 2, 12, { activation: 'hardSwish', strides: 2 }),
    ];
    const [first, second] = await Promise.all(
      [one, other].map(({ descriptor }) => manager.prepareGradients(descriptor)));
    const [a, b, c] = await Promise.all([
      first!.run(one.dy, one.x), second!.run(other.dy, other.x),
      first!.run({ ...one.dy, data: one.dy.data.map((v) => -v) }, one.x),
    ]);
    const [alone, otherAlone] = [await first!.run(one.dy, one.x), await second!.run(other.dy, other.x)];
    check(equal(a, alone) && equal(b, otherAlone), 'overlapping runs disturbed each other');
    check(c.input.data.every((value, i) => value === -a.input.data[i]!), 'the gradient is not odd in the incoming one');
  },

  async "gradients in the caller's pass: only what is asked for, offsets, guard words"() {
    const device = await borrowedDevice();
    const manager = await PipelineManager.create({ device });
    const one = problem(6, 2, 13, {
      depthwiseActivation: 'silu', activation: 'tanh', depthwiseBias: vector(12), bias: vector(13),
    });
    const gradients = await manager.prepareGradients(one.descriptor);
    check(gradients.label === 'separableConv2d' && String(gradients.outputShape) === '1,8,7,13', gradients.label);
    const { depthwiseFilter, pointwiseFilter, ...rest } = one.descriptor;
    const { inputShape: _, ...options } = rest as typeof rest & { depthwiseBias: Float32Array; bias: Float32Array };
    const expected = separableConv2dGradientsReference(one.dy, one.x, depthwiseFilter, pointwiseFilter, options);
    const { given, targets } = buffersFor(device, one, gradients.byteLengths, NAMES);
    const counts: number[] = [];
    for (const wanted of [
      ['biasGradient'], ['inputGradient'], ['pointwiseFilterGradient', 'depthwiseBiasGradient'], NAMES,
    ] as const) {
      const [submits, allocations] = [
        counted(device.queue, 'submit'), counted(device, 'createBuffer', 'createTexture'),
      ];
      const encoder = device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      const dispatches = counted(pass, 'dispatchWorkgroups');
      gradients.encode(pass, { ...given, ...Object.fromEntries(wanted.map((name) => [name, targets[name]])) });
      pass.end();
      check(submits() === 0 && allocations() === 0, 'encode submitted or allocated');
      counts.push(dispatches());
      device.queue.submit([encoder.finish()]);
    }
    check(counts[0]! < counts[1]! && counts[1]! < counts[3]! && counts[2]! < counts[3]!, `dispatches ${counts.join()}`);
    const data = await Promise.all(NAMES.map(async (name) => {
      const { data: result, failure } = unguarded(
        new Uint32Array(await download(device, targets[name].buffer)), targets[name].size);
      check(failure === undefined, `${name}: ${failure}`);
      return result as Float32Array<ArrayBuffer>;
    }));
    checkGradients({
      input: { shape: one.x.shape, data: data[0]! }, depthwiseFilter: { shape: depthwiseFilter.shape, data: data[1]! },
      pointwiseFilter: { shape: pointwiseFilter.shape, data: data[2]! }, depthwiseBias: data[3]!, bias: data[4]!,
    }, expected, 'encode');
    manager.destroy();
    device.destroy();
  },

  async 'what the forward pass saved is not computed again, and gives the same bits'() {
    const device = await borrowedDevice();
    const manager = await PipelineManager.create({ device });
    const one = problem(5, 1, 8, { depthwiseActivation: 'relu6', activation: 'sigmoid', strategy: 'two-pass' });
    const [conv, gradients] = [await manager.prepare(one.descriptor), await manager.prepareGradients(one.descriptor)];
    const { given, targets } = buffersFor(device, one, gradients.byteLengths, NAMES);
    const output = upload(device, new Float32Array(conv.outputByteLength / 4));
    const intermediate = upload(device, new Float32Array(56 * 8));
    const results: string[] = [];
    const counts: number[] = [];
    for (const saved of [{}, { output }, { intermediate }, { output, intermediate }]) {
      const encoder = device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      conv.encode(pass, { input: given.input, output, intermediate });
      const dispatches = counted(pass, 'dispatchWorkgroups');
      gradients.encode(pass, { ...given, ...targets, ...saved });
      counts.push(dispatches());
      pass.end();
      device.queue.submit([encoder.finish()]);
      const words = await Promise.all(
        NAMES.map(async (name) => [...new Uint32Array(await download(device, targets[name].buffer))]));
      results.push(JSON.stringify(words));
    }
    check(counts.join() === [0, 1, 1, 2].map((fewer) => counts[0]! - fewer).join(), `dispatches ${counts.join()}`);
    check(results.every((result) => result === results[0]), 'saved values gave other bits');
    const fused = await manager.prepare({ ...one.descriptor, strategy: 'fused' });
    const pass = device.createCommandEncoder().beginComputePass();
    await checkThrows(() => fused.encode(pass, { input: given.input, output, intermediate }), ValueError,
      "intermediate must be absent for strategy 'fused'");
    manager.destroy();
    device.destroy();
  },

  async 'gradients of skipped pixels and empty outputs are zeros'() {
    using manager = await PipelineManager.create();
    const ones = (...shape: [number, number, number, number]): Tensor4D =>
      ({ shape, data: new Float32Array(shape.reduce((a, b) => a * b)).fill(1) });
    const skipped = await separableConv2dGradients(ones(1, 3, 3, 1), ones(1, 8, 8, 1), ones(1, 2, 1, 1),
      ones(1, 1, 1, 1), { padding: 'VALID', strides: 3, manager });
    const used = Array.from({ length: 64 }, (_, i) => Number(Math.floor(i / 8) % 3 === 0 && (i % 8) % 3 < 2));
    check(String(skipped.input.data) === String(used), String(skipped.input.data));
    const empty = (...shape: [number, number, number, number]): Tensor4D => ({ shape, data: new Float32Array(0) });
    const none = await separableConv2dGradients(
      empty(1, 0, 3, 4), ones(1, 2, 5, 1), ones(3, 3, 1, 1), ones(1, 1, 1, 4),
      { padding: [[0, 0], [0, 0]], bias: new Float32Array(4), manager });
    const lengths = [none.input.data, none.depthwiseFilter.data, none.pointwiseFilter.data, none.bias!].map((data) => {
      check(data.every((value) => value === 0), `an empty output gave ${String(data)}`);
      return data.length;
    });
    check(lengths.join() === '10,9,4,4', lengths.join());
    const batch = await separableConv2dGradients(
      empty(0, 5, 5, 4), empty(0, 5, 5, 1), ones(3, 3, 1, 1), ones(1, 1, 1, 4), { padding: 'SAME', manager });
    check(batch.input.data.length === 0 && batch.pointwiseFilter.data.join() === '0,0,0,0', 'empty batch');
    const rows = await separableConv2dGradients(
      ones(1, 1, 3, 4), empty(1, 0, 3, 1), ones(3, 3, 1, 1), ones(1, 1, 1, 4),
      { padding: [[2, 1], [1, 1]], bias: new Float32Array(4), manager });
    const zero = rows.depthwiseFilter.data.every((value) => value === 0);
    check(rows.input.data.length === 0 && zero && rows.bias!.join() === '3,3,3,3', 'empty input');
  },

  async 'errors of gradients'() {
    const device = await borrowedDevice();
    const manager = await PipelineManager.create({ device });
    const one = problem(4, 1, 8, { name: 'block1' });
    const calls = counted(device, 'createBuffer', 'createTexture', 'createShaderModule', 'createComputePipelineAsync');
    await checkThrows(() => manager.prepareGradients({ ...one.descriptor, strides: 0 }), ValueError,
      "separableConv2d 'block1': strides must be");
    await checkThrows(() => manager.prepareGradients({ ...one.descriptor, dtype: 'f16' }), UnsupportedError, 'f16');
    const { x, dy, descriptor: { depthwiseFilter, pointwiseFilter } } = one;
    await checkThrows(() =>
      separableConv2dGradients(x, x, depthwiseFilter, pointwiseFilter, { padding: 'SAME', manager }), ValueError,
      'separableConv2d: outputGradient must be [1, 8, 7, 8], got [1, 8, 7, 4]');
    check(calls() === 0, 'an argument error touched the GPU');
    const gradients = await manager.prepareGradients(one.descriptor);
    await checkThrows(() => gradients.run(dy, dy), ValueError,
      "separableConv2d 'block1': input must be [1, 8, 7, 4], got [1, 8, 7, 8]");
    const { given, targets } = buffersFor(device, one, gradients.byteLengths, NAMES);
    const pass = device.createCommandEncoder().beginComputePass();
    const bad: [object, string][] = [
      [{ ...given, input: undefined, inputGradient: targets.inputGradient },
        'input must be a GPUBuffer with usage STORAGE, got undefined'],
      [{ ...given, inputGradient: targets.biasGradient }, 'inputGradient must have 896 bytes from its offset, got 32'],
      [{ ...given, depthwiseFilterGradient: given.input },
        'depthwiseFilterGradient must not overlap input, got bytes 0 to '],
      [{ ...given, ...targets, biasGradient: given.outputGradient },
        'biasGradient must be another buffer than outputGradient'],
    ];
    for (const [target, text] of bad) {
      await checkThrows(() => gradients.encode(pass, target as GradientTargets), ValueError, text);
    }
    gradients.destroy();
    gradients.destroy();
    await checkThrows(
      () => gradients.encode(pass, { ...given, ...targets }), SepconvError, 'these gradients were destroyed');
    const running = (await manager.prepareGradients(one.descriptor)).run(dy, x);
    device.destroy();
    await checkThrows(() => running, DeviceLostError, 'the GPU device was lost (destroyed)');
    manager.destroy();
  },
};
