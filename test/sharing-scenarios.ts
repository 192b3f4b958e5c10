import { type ConvolutionDescriptor, PipelineManager, separableConv2d, type Tensor4D } from 'sepconv-webgpu';
import { boundedSeparable } from './bounds.js';
import { type Case, problem } from './cases.js';
import { borrowedDevice, check, download, draw, layer, seedScenarios, tensor, upload } from './scenarios.js';

/** Many users of one manager, one device and one GPU: each must get what it would get alone, to the bit. */

/** Layers of unlike sizes, for scratch memory and pools of unlike sizes, each with an input. */
function jobs(): { description: ReturnType<typeof layer>; x: Tensor4D }[] {
  return ([
    [8, 8, 2, 16], [16, 4, 1, 8], [5, 12, 3, 37], [23, 6, 1, 7], [3, 32, 1, 64],
  ] as const).flatMap(([size, C, M, O]) =>
    (['two-pass', 'fused'] as const).map((strategy) => ({
      description: layer([1, size, size + 1, C], M, O, { strategy, activation: 'relu6', allowOverparameterized: true }),
      x: tensor(1, size, size + 1, C),
    })));
}
type Job = ReturnType<typeof jobs>[number];

const bits = ({ data }: Tensor4D): Uint32Array => new Uint32Array(data.buffer, data.byteOffset, data.length);

function checkSame(actual: Tensor4D, expected: Tensor4D, what: string): void {
  const [a, b] = [bits(actual), bits(expected)];
  check(a.length === b.length, `${what}: ${a.length} elements, not ${b.length}`);
  const at = a.findIndex((word, i) => word !== b[i]);
  check(at < 0, `${what}: element ${at} is ${actual.data[at]}, not ${expected.data[at]}`);
}

/** Each alone, one after the other. The kernels, and so the last bits, depend on the device's features. */
async function alone(work: readonly Job[], device: GPUDevice, maxBindingBytes = 2 ** 27): Promise<Tensor4D[]> {
  using manager = await PipelineManager.create({ device, maxBindingBytes });
  const results: Tensor4D[] = [];
  for (const { description, x } of work) {
    using conv = await manager.prepare(description);
    results.push(await conv.run(x));
  }
  return results;
}

function oneCall(manager: PipelineManager, { description, x }: Job): Promise<Tensor4D> {
  const { inputShape: _, depthwiseFilter, pointwiseFilter, ...options } = description;
  return separableConv2d(x, depthwiseFilter, pointwiseFilter, { ...options, manager });
}

function shuffled<T>(values: readonly T[]): T[] {
  return values.map((value) => ({ value, at: draw() })).sort((a, b) => a.at - b.at).map(({ value }) => value);
}

/** What a page and a worker both compute for one seed. */
export async function computeAll(seed: number): Promise<Tensor4D[]> {
  seedScenarios(seed);
  using manager = await PipelineManager.create();
  const work = jobs();
  const rounds = await Promise.all([0, 1, 2].map(() => Promise.all(work.map((job) => oneCall(manager, job)))));
  for (const round of rounds) round.forEach((y, i) => checkSame(y, rounds[0]![i]!, `job ${i} again`));
  return rounds[0]!;
}

export const sharing: Readonly<Record<string, () => Promise<unknown>>> = {
  async 'overlapping calls of all kinds on one manager, and on two managers of one device'() {
    const work = jobs();
    const device = await borrowedDevice();
    const expected = await alone(work, device);
    const managers = [await PipelineManager.create({ device }), await PipelineManager.create({ device })];
    const prepared = await Promise.all(
      managers.map((manager) => Promise.all(work.map(({ description }) => manager.prepare(description)))));
    const calls = shuffled([0, 1, 2].flatMap(() => managers.flatMap((manager, m) => work.flatMap((job, i) => [
      () => prepared[m]![i]!.run(job.x).then((y) => checkSame(y, expected[i]!, `run of job ${i}`)),
      () => oneCall(manager, job).then((y) => checkSame(y, expected[i]!, `one call of job ${i}`)),
    ]))));
    await Promise.all(calls.map((call) => call()));
    for (const manager of managers) manager.destroy();
    device.destroy();
    return `${calls.length} overlapping calls`;
  },

  async 'a worker and the page at once'() {
    const seed = Math.floor(draw() * 1e9);
    const worker = new Worker(new URL('./sharing-worker.ts', import.meta.url), { type: 'module' });
    const theirs = new Promise<Tensor4D[]>((resolve, reject) => {
      worker.addEventListener('message', ({ data }: MessageEvent<Tensor4D[] | string>) =>
        typeof data === 'string' ? reject(new Error(data)) : resolve(data));
      worker.addEventListener('error', ({ message }) => reject(new Error(message)));
    });
    worker.postMessage(seed);
    const ours = await computeAll(seed);
    for (const [i, y] of (await theirs).entries()) checkSame(y, ours[i]!, `job ${i} in the worker`);
    worker.terminate();
  },

  async 'encodes of several convolutions, interleaved in one pass on one scratch memory'() {
    const work = jobs();
    const device = await borrowedDevice();
    const maxBindingBytes = 16384; // So that the larger ones go in bands.
    const expected = await alone(work, device, maxBindingBytes);
    const manager = await PipelineManager.create({ device, maxBindingBytes });
    const convs = await Promise.all(shuffled([...work.entries()]).map(async ([i, { description }]) =>
      ({ i, conv: await manager.prepare(description) })));
    const steps = shuffled(convs.flatMap(({ i, conv }) => [0, 1, 2].map(() => ({
      i, conv, input: upload(device, work[i]!.x.data),
      output: device.createBuffer({ size: conv.outputByteLength, usage: 0x80 | 0x4 }),
    }))));
    const encoder = device.createCommandEncoder();
    const passes = [encoder.beginComputePass()];
    for (const [at, { conv, input, output }] of steps.entries()) {
      if (at === 20) {
        passes[0]!.end();
        passes.push(encoder.beginComputePass());
      }
      conv.encode(passes.at(-1)!, { input, output });
    }
    passes.at(-1)!.end();
    device.pushErrorScope('validation');
    device.queue.submit([encoder.finish()]);
    const error = await device.popErrorScope();
    check(error === null, `validation error: ${error?.message}`);
    for (const { i, conv, output } of steps) {
      const data = new Float32Array(await download(device, output));
      checkSame({ shape: conv.outputShape, data }, expected[i]!, `job ${i}`);
    }
    manager.destroy();
    device.destroy();
    const dispatches = steps.reduce((sum, { conv }) => sum + conv.kernels.length, 0);
    return `${steps.length} interleaved encodes of ${dispatches} dispatches in ${passes.length} passes`;
  },

  async 'fused and two-pass agree within the bound derived for each, with the kernels of either kind of adapter'() {
    const device = await borrowedDevice();
    using software = await PipelineManager.create({ device, adapterKind: 'software' });
    using gpu = await PipelineManager.create({ device, adapterKind: 'gpu' });
    let worst = 0;
    for (let index = 0; index < 2; index++) {
      const whole = (least: number, most: number): number => least + Math.floor(draw() * (most - least + 1));
      const [C, M] = [whole(1, 40), whole(1, 2)];
      const one: Case = {
        name: `random ${index}`, input: [1, whole(3, 12), whole(3, 12), C], filter: [whole(1, 4), whole(1, 4), M],
        O: whole(1, 70), padding: 'SAME', biases: true, strides: whole(1, 2), allowOverparameterized: true,
        activation: (['linear', 'relu', 'tanh'] as const)[whole(0, 2)]!,
      };
      const data = problem(one, Math.floor(draw() * 1e9));
      const { KH, KW, K, O } = data.geometry;
      const description = {
        inputShape: one.input, padding: 'SAME', strides: one.strides!, activation: one.activation!,
        allowOverparameterized: true,
        depthwiseFilter: { shape: [KH, KW, C, M], data: data.depthwiseFilter },
        pointwiseFilter: { shape: [1, 1, K, O], data: data.pointwiseFilter },
        depthwiseBias: data.depthwiseBias!, bias: data.bias!,
      } satisfies ConvolutionDescriptor;
      const x: Tensor4D = { shape: one.input, data: data.input };
      const ways = [software, gpu].flatMap((manager) =>
        (['fused', 'two-pass'] as const).map((strategy) => ({ manager, strategy })));
      const [reference, ...others] = await Promise.all(ways.map(async ({ manager, strategy }) => {
        using conv = await manager.prepare({ ...description, strategy });
        check(conv.strategy === strategy, conv.strategy);
        const [first, second] = await Promise.all([conv.run(x), conv.run(x)]);
        checkSame(first, second, `${one.name} ${strategy} again`);
        return first;
      }));
      const { tolerances } = boundedSeparable(data);
      for (const [way, { data: values }] of others.entries()) {
        const { manager: { adapterKind }, strategy } = ways[way + 1]!;
        for (const [i, value] of values.entries()) {
          const difference = Math.abs(value - reference!.data[i]!);
          const share = difference && difference / (2 * tolerances[i]!); // Both may be 0.
          check(
            share <= 1, `${one.name}: element ${i} is ${reference!.data[i]}, but ${value} ${adapterKind} ${strategy}`);
          worst = Math.max(worst, share);
        }
      }
    }
    device.destroy();
    return `largest difference: ${worst.toExponential(1)} of the bound`;
  },
};
