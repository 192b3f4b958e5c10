import {
  type ConvolutionDescriptor, PipelineManager, type PipelineManagerOptions, type SavedTuning, separableConv2d,
  type SeparableConv2dOptions, type Tensor4D, UnsupportedError, ValueError, type WarmUpDescriptor,
} from 'sepconv-webgpu';
import { separableConv2dGradientsReference, separableConv2dReference } from 'sepconv-webgpu/reference';
import { randomData } from './random.js';
import {
  borrowedDevice, check, checkClose, checkThrows, counted, download, draw, layer, STORAGE, tensor, upload,
} from './scenarios.js';

/** What embedders do with buffers, memory, devices and frameworks of their own, through the public API. */

type Encodable = { encode(pass: GPUComputePassEncoder, targets: never): void };

/** Encodes and submits; errors of WebGPU go to `checkUncaptured`. */
function submit(device: GPUDevice, ...work: readonly (readonly [Encodable, object])[]): void {
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  for (const [conv, targets] of work) conv.encode(pass, targets as never);
  pass.end();
  device.queue.submit([encoder.finish()]);
}

async function read(device: GPUDevice, buffer: GPUBuffer, shape: Tensor4D['shape'], offset = 0): Promise<Tensor4D> {
  return { shape, data: new Float32Array(await download(device, buffer), offset, shape.reduce((a, b) => a * b)) };
}

const expectedOf = (x: Tensor4D, one: ReturnType<typeof layer>): Tensor4D =>
  separableConv2dReference(x, one.depthwiseFilter, one.pointwiseFilter, one);

/** An empty pass, for calls that throw. */
const anyPass = (device: GPUDevice): GPUComputePassEncoder => device.createCommandEncoder().beginComputePass();

export const embedding: Readonly<Record<string, () => Promise<void>>> = {
  async 'in place in bands is refused with both ranges; unbanded, or apart in one buffer, it is right'() {
    const device = await borrowedDevice();
    const banded = await PipelineManager.create({ device, maxBindingBytes: 1024 });
    const one = layer([1, 16, 8, 4], 1, 4, { strategy: 'two-pass' });
    const conv = await banded.prepare(one);
    const x = tensor(1, 16, 8, 4);
    const arena = upload(device, x.data, 0, 4096);
    const pass = anyPass(device);
    for (const offset of [0, 256, 1792]) {
      await checkThrows(() => conv.encode(pass, { input: arena, output: { buffer: arena, offset } }), ValueError,
        `output must not overlap input, got bytes ${offset} to ${offset + 2048} and 0 to 2048 of one buffer: only `
          + `strategy 'two-pass' without bands works`);
    }
    submit(device, [conv, { input: arena, output: { buffer: arena, offset: 2048 } }]);
    checkClose(await read(device, arena, x.shape, 2048), expectedOf(x, one), 20, 'apart in one buffer');
    const whole = await (await PipelineManager.create({ device })).prepare(one);
    for (const offset of [256, 0]) {
      const again = upload(device, x.data, 0, 4096);
      submit(device, [whole, { input: again, output: { buffer: again, offset } }]);
      checkClose(await read(device, again, x.shape, offset), expectedOf(x, one), 20, `in place from byte ${offset}`);
    }
    device.destroy();
  },

  async 'an arena: what is read and written, or overwritten and still read, is refused by both names'() {
    const device = await borrowedDevice();
    const manager = await PipelineManager.create({ device });
    const plain = layer([1, 4, 4, 4], 1, 8, { strategy: 'two-pass' });
    const x = tensor(1, 4, 4, 4);
    const at = {
      depthwiseFilter: 0, depthwiseBias: 256, pointwiseFilter: 512, bias: 768, input: 1024, output: 1280,
      intermediate: 2048,
    };
    const arena = device.createBuffer({ size: 4096, usage: STORAGE });
    const biases = { depthwiseBias: randomData(4, draw), bias: randomData(8, draw) };
    const write = (): void => {
      for (const [name, data] of Object.entries({
        ...biases, depthwiseFilter: plain.depthwiseFilter.data, pointwiseFilter: plain.pointwiseFilter.data,
        input: x.data
      })) {
        device.queue.writeBuffer(arena, at[name as keyof typeof at], data as Float32Array<ArrayBuffer>);
      }
    };
    write();
    const part = (name: keyof typeof at) => ({ buffer: arena, offset: at[name] });
    const descriptor: ConvolutionDescriptor = {
      ...plain, depthwiseFilter: {
        shape: [3, 3, 4, 1], ...part('depthwiseFilter'),
      }, pointwiseFilter: { shape: [1, 1, 4, 8], ...part('pointwiseFilter') },
      depthwiseBias: { shape: [4], ...part('depthwiseBias') }, bias: { shape: [8], ...part('bias') },
    };
    const conv = await manager.prepare(descriptor);
    const pass = anyPass(device);
    const elsewhere = device.createBuffer({ size: 4096, usage: STORAGE });
    const refused: [object, string][] = [
      [{ input: elsewhere, output: part('output') }, 'output must be another buffer than'],
      [
        { input: part('input'), output: elsewhere, intermediate: part('intermediate') },
        'intermediate must be another buffer than',
      ],
      [{
        input: elsewhere, output: { buffer: elsewhere, offset: 1024 },
        intermediate: { buffer: elsewhere, offset: 2048 },
      }, 'intermediate must be another buffer than input'],
    ];
    for (const [targets, message] of refused) {
      await checkThrows(
        () => conv.encode(pass, targets as { input: GPUBuffer; output: GPUBuffer }), ValueError, message
      );
      await checkThrows(
        () => conv.encode(pass, targets as { input: GPUBuffer; output: GPUBuffer }), ValueError,
        'WebGPU lets no dispatch read and write one buffer'
      );
    }
    submit(device, [conv, { input: part('input'), output: elsewhere }]);
    const expected = separableConv2dReference(x, plain.depthwiseFilter, plain.pointwiseFilter, { ...plain, ...biases });
    checkClose(await read(device, elsewhere, [1, 4, 4, 8]), expected, 20, 'all that is read in one buffer');
    // A filter that this run has read already is read by the next one.
    const [filterOnly] = [
      await manager.prepare({ ...plain, depthwiseFilter: { shape: [3, 3, 4, 1], ...part('depthwiseFilter') } }),
    ];
    await checkThrows(() => filterOnly.encode(pass, { input: elsewhere, output: part('depthwiseFilter') }), ValueError,
      'output must not overlap depthwiseFilter, got bytes 0 to 512 and 0 to 144 of one buffer');
    submit(device, [filterOnly, { input: { buffer: arena, offset: 1024 }, output: { buffer: arena, offset: 3072 } }]);
    const unbiased = separableConv2dReference(x, plain.depthwiseFilter, plain.pointwiseFilter, plain);
    checkClose(
      await read(device, arena, [1, 4, 4, 8], 3072), unbiased, 20, 'a filter apart in the buffer of the output'
    );

    const gradients = await manager.prepareGradients(plain);
    const given = { outputGradient: upload(device, randomData(128, draw)), input: upload(device, x.data) };
    const both = {
      inputGradient: { buffer: elsewhere, offset: 0 }, pointwiseFilterGradient: { buffer: elsewhere, offset: 0 },
    };
    await checkThrows(() => gradients.encode(pass, { ...given, ...both }), ValueError, 'must not overlap');
    device.destroy();
  },

  async 'what is no compute pass is refused by name, and leaves no debug group open'() {
    const device = await borrowedDevice();
    const manager = await PipelineManager.create({ device });
    const one = layer([1, 4, 4, 4], 1, 4, { strategy: 'two-pass' });
    const [conv, gradients] = [await manager.prepare(one), await manager.prepareGradients(one)];
    const [a, b] = [0, 1].map(() => device.createBuffer({ size: 1024, usage: STORAGE })) as [GPUBuffer, GPUBuffer];
    const encoder = device.createCommandEncoder();
    for (const pass of [encoder, undefined, null, {}, 5]) {
      await checkThrows(
        () => conv.encode(pass as GPUComputePassEncoder, { input: a, output: b }), ValueError,
        'pass must be a GPUComputePassEncoder, got'
      );
      await checkThrows(() =>
        gradients.encode(pass as GPUComputePassEncoder, { input: a, outputGradient: a, inputGradient: b }), ValueError,
        'pass must be a GPUComputePassEncoder, got');
    }
    encoder.beginComputePass().end();
    device.queue.submit([encoder.finish()]); // An open debug group would make it invalid.
    device.destroy();
  },

  async 'names that a call does not read are refused, by every call'() {
    const device = await borrowedDevice();
    const manager = await PipelineManager.create({ device });
    const one = layer([1, 4, 4, 4], 1, 4);
    const x = tensor(1, 4, 4, 4);
    const { inputShape, depthwiseFilter: d, pointwiseFilter: p, ...options } = one;
    const conv = await manager.prepare(one);
    const gradients = await manager.prepareGradients(one);
    const buffer = device.createBuffer({ size: 1024, usage: STORAGE });
    const calls: [() => unknown, string][] = [
      [
        () => manager.prepare({ ...one, inputSize: 4 } as ConvolutionDescriptor),
        'options must be among inputShape, depthwiseFilter, pointwiseFilter, strides',
      ],
      [() => manager.prepare({ ...one, manager } as ConvolutionDescriptor), "got 'manager'"],
      [() => manager.prepareGradients({ ...one, stride: 2 } as ConvolutionDescriptor), "got 'stride'"],
      [() => manager.warmUp([{ ...one, rates: 2 } as WarmUpDescriptor]), "got 'rates'"],
      [
        () => manager.warmUp([one], { onprogress: () => {} } as object),
        "warmUp: options must be among onProgress, got 'onprogress'",
      ],
      [
        () => separableConv2d(x, d, p, { ...options, inputShape } as SeparableConv2dOptions),
        "dtype, manager, got 'inputShape'",
      ],
      [
        () => PipelineManager.create({ devise: device } as object),
        "must be among device, tuning, adapterKind, maxBindingBytes, got 'devise'",
      ],
      [
        () => conv.encode(anyPass(device), { input: buffer, ouput: buffer } as never),
        "targets must be among input, output, intermediate, got 'ouput'",
      ],
      [() => gradients.encode(
        anyPass(device), { input: buffer, outputGradient: buffer, filterGradient: buffer } as never
      ), "got 'filterGradient'"],
    ];
    const range = { buffer, byteOffset: 256 };
    const onGpu = { shape: [1, 1, 4, 4], ...range };
    const nested: [() => unknown, string][] = [
      [() => manager.prepare({ ...one, pointwiseFilter: onGpu }),
        "pointwiseFilter: names must be among shape, buffer, offset, got 'byteOffset'"],
      [() => manager.prepare({ ...one, depthwiseFilter: { ...d, buffer } as typeof d }), "got 'data'"],
      [() => manager.prepare({ ...one, activation: { leakyRelu: 0.1, alpha: 1 } as { leakyRelu: number } }),
        "activation: names must be among leakyRelu, got 'alpha'"],
      [() => conv.encode(anyPass(device), { input: buffer, output: range } as never),
        "output: names must be among buffer, offset, size, got 'byteOffset'"],
    ];
    for (const [call, message] of [...calls, ...nested]) await checkThrows(call, ValueError, message);
    await checkThrows(
      () => manager.prepare({ ...one, inputShape: [1n, 4, 4, 4] as unknown as number[] }), ValueError,
      'got [1n, 4, 4, 4]'
    );
    await checkThrows(() => manager.prepare({ ...one, padding: 'x'.repeat(1e4) }), ValueError, `${'x'.repeat(80)}…'`);
    const long = Array.from({ length: 1e4 }, () => 0.5);
    for (const [name, message] of [
      ['bias', 'bias must be a Float32Array'], ['strides', 'strides must be'], ['padding', 'padding must be'],
    ] as const) {
      await checkThrows(() => manager.prepare({ ...one, [name]: long }), ValueError, message);
      const told = await manager.prepare({ ...one, [name]: long }).then(() => '', String);
      check(told.length < 400, `a message of ${told.length} characters`);
    }
    device.destroy();
  },

  async 'data in memory that is shared or may grow is copied once; what shrinks while needed is told'() {
    const manager = await PipelineManager.create();
    const plain = layer([1, 6, 6, 4], 1, 8);
    const x = tensor(1, 6, 6, 4);
    const expected = expectedOf(x, plain);
    type Make = (byteLength: number) => ArrayBufferLike;
    const kinds: Record<string, Make> = {
      resizable: (size) => new (
        ArrayBuffer as unknown as new (size: number, options: object) => ArrayBuffer
      )(size, { maxByteLength: size * 2 }),
      'WebAssembly memory': () => new WebAssembly.Memory({ initial: 1, maximum: 2 }).buffer,
    };
    if (typeof SharedArrayBuffer === 'function') {
      kinds['shared'] = (size) => new SharedArrayBuffer(size);
      kinds['growable'] = (size) => new (
        SharedArrayBuffer as unknown as new (size: number, options: object) => SharedArrayBuffer
      )(size, { maxByteLength: size * 2 });
      kinds['shared WebAssembly memory'] = () =>
        new WebAssembly.Memory({ initial: 1, maximum: 2, shared: true }).buffer;
    }
    for (const [kind, make] of Object.entries(kinds)) {
      const moved = ({ shape, data }: Tensor4D): Tensor4D => {
        const view = new Float32Array(make(data.byteLength), 0, data.length);
        view.set(data);
        return { shape, data: view };
      };
      const input = moved(x);
      const conv = await manager.prepare(
        { ...plain, depthwiseFilter: moved(plain.depthwiseFilter), pointwiseFilter: moved(plain.pointwiseFilter) }
      );
      checkClose(await conv.run(input), expected, 20, kind);
      const dy = tensor(1, 6, 6, 8);
      const gradients = await (
        await manager.prepareGradients({ ...plain, depthwiseFilter: moved(plain.depthwiseFilter) })
      ).run(moved(dy), input);
      const reference = separableConv2dGradientsReference(dy, x, plain.depthwiseFilter, plain.pointwiseFilter, plain);
      checkClose(gradients.input, reference.input, 80, `${kind}, gradient`);
      conv.destroy();
    }
    const shrinking = kinds['resizable']!(
      plain.depthwiseFilter.data.byteLength
    ) as ArrayBuffer & { resize(size: number): void };
    const data = new Float32Array(shrinking);
    data.set(plain.depthwiseFilter.data);
    const preparing = manager.prepare({ ...plain, activation: 'tanh', depthwiseFilter: { shape: [3, 3, 4, 1], data } });
    shrinking.resize(16);
    await checkThrows(
      () => preparing, ValueError, 'depthwiseFilter must keep its data until prepare resolves, got 4 elements of 36'
    );
    manager.destroy();
  },

  async 'managers, convolutions and gradients work inside proxies, as reactive state has them'() {
    const wrap = <T extends object>(target: T): T => new Proxy(target, {});
    const device = await borrowedDevice();
    const manager = wrap(await PipelineManager.create({ device }));
    const one = layer([1, 4, 4, 4], 1, 4);
    const x = tensor(1, 4, 4, 4);
    await manager.warmUp([one]);
    const conv = wrap(await manager.prepare(one));
    checkClose(await conv.run(x), expectedOf(x, one), 20, 'run');
    const [input, output] = [upload(device, x.data), device.createBuffer({ size: 1024, usage: STORAGE })];
    submit(device, [conv, { input, output }]);
    checkClose(await read(device, output, x.shape), expectedOf(x, one), 20, 'encode');
    const { depthwiseFilter: d, pointwiseFilter: p } = one;
    checkClose(await separableConv2d(x, d, p, { padding: 'SAME', manager }), expectedOf(x, one), 20, 'one call');
    const gradients = wrap(await manager.prepareGradients(one));
    checkClose(
      (await gradients.run(x, x)).input, separableConv2dGradientsReference(x, x, d, p, one).input, 40, 'gradients'
    );
    check(JSON.stringify(manager.exportTuning()).includes('"choices":{}'), 'exportTuning');
    gradients.destroy();
    conv.destroy();
    manager.destroy();
    device.destroy();
  },

  async "'auto' takes the strategy that can be: one kernel where two passes cannot be bound"() {
    const device = await borrowedDevice();
    const manager = await PipelineManager.create({ device, adapterKind: 'software', maxBindingBytes: 4096 });
    const one = layer([1, 6, 40, 2], 16, 8, { allowOverparameterized: true });
    const x = tensor(1, 6, 40, 2);
    await checkThrows(
      () => manager.prepare({ ...one, strategy: 'two-pass' }), UnsupportedError, 'one output row reads'
    );
    const conv = await manager.prepare(one);
    check(conv.strategy === 'fused', conv.strategy);
    checkClose(await conv.run(x), expectedOf(x, one), 60, 'auto');
    const measuring = await PipelineManager.create(
      { device, adapterKind: 'software', maxBindingBytes: 4096, tuning: 'measure' }
    );
    checkClose(await (await measuring.prepare(one)).run(x), expectedOf(x, one), 60, 'measured');
    await checkThrows(
      () => manager.prepare({ ...one, inputShape: [1, 6, 4000, 2] }), UnsupportedError, 'one output row reads'
    );
    device.destroy();
  },

  async 'limits are those of the device: compatibility mode, 4100 channels, gradients of 4225 pixels'() {
    const adapter = await navigator.gpu.requestAdapter({ featureLevel: 'compatibility' });
    check(adapter !== null, 'no adapter');
    const requiredFeatures = (['subgroups'] as const).filter((feature) => adapter.features.has(feature));
    const device = await adapter.requestDevice({ requiredFeatures });
    const errors: string[] = [];
    device.addEventListener('uncapturederror', ({ error }) => errors.push(error.message));
    const manager = await PipelineManager.create({ device });
    const wide = layer([1, 2, 2, 4100], 1, 4, { allowOverparameterized: true });
    const x = tensor(1, 2, 2, 4100);
    for (const strategy of ['fused', 'two-pass'] as const) {
      checkClose(
        await (await manager.prepare({ ...wide, strategy })).run(x), expectedOf(x, wide), 8200,
        `4100 channels, ${strategy}`
      );
    }
    const many = layer([1, 65, 65, 64], 1, 128);
    const [dy, input] = [tensor(1, 65, 65, 128), tensor(1, 65, 65, 64)];
    const { pointwiseFilter } = await (await manager.prepareGradients(many)).run(dy, input);
    const expected = separableConv2dGradientsReference(dy, input, many.depthwiseFilter, many.pointwiseFilter, many);
    checkClose(pointwiseFilter!, expected.pointwiseFilter, 65 * 65, 'gradients of 4225 pixels');
    // The transposed filter has more rows than a texture of the device may have, the filter has not.
    const wideOutput = layer([1, 4, 4, 4], 1, device.limits.maxTextureDimension2D + 4);
    const [dyWide, xWide] = [tensor(1, 4, 4, device.limits.maxTextureDimension2D + 4), tensor(1, 4, 4, 4)];
    const back = await (await manager.prepareGradients(wideOutput)).run(dyWide, xWide);
    const { depthwiseFilter: dWide, pointwiseFilter: pWide } = wideOutput;
    const expectedWide = separableConv2dGradientsReference(dyWide, xWide, dWide, pWide, wideOutput);
    checkClose(back.input, expectedWide.input, 9 * device.limits.maxTextureDimension2D, 'gradients of wide outputs');
    check(errors.length === 0, errors.join());
    manager.destroy();
    device.destroy();
  },

  async 'a table is of one kind of device: features, limits and adapter count, the order of names does not'() {
    const one = layer([1, 12, 12, 8], 1, 8);
    const adapter = await navigator.gpu.requestAdapter();
    check(adapter !== null, 'no adapter');
    const features = (['subgroups'] as const).filter((feature) => adapter.features.has(feature));
    const measuringDevice = await adapter.requestDevice({ requiredFeatures: features });
    const measuring = await PipelineManager.create({ device: measuringDevice, tuning: 'measure' });
    await measuring.prepare(one);
    const saved = JSON.parse(JSON.stringify(measuring.exportTuning())) as SavedTuning;
    const [[key]] = Object.entries(saved.choices) as [[string, unknown]];
    const kernelsOn = async (device: GPUDevice, more: PipelineManagerOptions = {}) => {
      const manager = await PipelineManager.create({ device, ...more });
      const conv = await manager.prepare(one);
      const x = tensor(1, 12, 12, 8);
      checkClose(await conv.run(x), expectedOf(x, one), 20, 'with a table');
      manager.destroy();
      return conv.kernels.join();
    };
    const isSoftware = measuring.adapterKind === 'software';
    const bare = await (await navigator.gpu.requestAdapter())!.requestDevice();
    const [usual, usualOnBare] = [await kernelsOn(measuringDevice), await kernelsOn(bare)];
    // What no software adapter chooses by itself.
    const choice = { strategy: 'fused', presets: [isSoftware ? 'registers' : 'gpuThin'] };
    const tuning = { ...saved, choices: { [key]: choice } };
    const other = await kernelsOn(measuringDevice, { tuning });
    if (isSoftware) check(other !== usual && other !== usualOnBare, 'the table was not taken');
    const { device: profile, ...rest } = tuning;
    const turned = Object.fromEntries(Object.entries(profile as object).reverse());
    check(
      (await kernelsOn(measuringDevice, { tuning: { device: turned, ...rest } })) === other, 'the order of names counts'
    );
    if (features.length > 0) check(
      (await kernelsOn(bare, { tuning })) === usualOnBare, 'a table of a device with subgroups was taken without'
    );
    check(
      (await kernelsOn(measuringDevice, { tuning, maxBindingBytes: 65536 })) === usual,
      'a table of other limits was taken'
    );
    const gpu = await PipelineManager.create(
      { device: measuringDevice, tuning, adapterKind: isSoftware ? 'gpu' : 'software' }
    );
    await gpu.prepare(one); // Its own kernels, whatever they are.
    // What this device cannot run is ignored, even where the table says that it is of this device.
    const wrong = { ...saved, choices: { [key]: { ...choice, presets: [isSoftware ? 'gpu' : 'quads'] } } };
    check(
      (await kernelsOn(measuringDevice, { tuning: wrong })) === usual, 'a preset of another kind of adapter was taken'
    );
    measuringDevice.destroy();
    bare.destroy();
  },

  async 'an error of measured work keeps no choice, and reaches nobody'() {
    const device = await borrowedDevice(); // Whose errors are looked at when the scenario has ended.
    const manager = await PipelineManager.create({ device, tuning: 'measure' });
    const one = layer([1, 8, 8, 4], 1, 8);
    const mapped = device.createBuffer({ size: 256, usage: STORAGE, mappedAtCreation: true });
    const waits = counted(device.queue, 'onSubmittedWorkDone');
    const conv = await manager.prepare({ ...one, depthwiseFilter: { shape: [3, 3, 4, 1], buffer: mapped } });
    check(waits() > 0, 'nothing was measured');
    check(Object.keys(manager.exportTuning().choices).length === 0, 'a choice was kept');
    new Float32Array(mapped.getMappedRange()).set(one.depthwiseFilter.data);
    mapped.unmap();
    const x = tensor(1, 8, 8, 4);
    checkClose(await conv.run(x), expectedOf(x, one), 20, 'once it is unmapped');
    await manager.prepare(one);
    check(Object.keys(manager.exportTuning().choices).length === 1, 'no choice was kept afterwards');
    device.destroy();
  },

  async 'warmUp compiles what prepare takes: the choice that is known, or all, which it measures in one go'() {
    const device = await borrowedDevice();
    const one = layer([1, 12, 12, 8], 1, 8, { activation: 'tanh' });
    const other = layer([1, 10, 12, 8], 1, 8, { activation: 'tanh' });
    const compiles = counted(device, 'createComputePipelineAsync');
    const waits = counted(device.queue, 'onSubmittedWorkDone');
    const measuring = await PipelineManager.create({ device, tuning: 'measure' });
    const told: [number, number][] = [];
    const shapes = [one, other, one].map(({ depthwiseFilter, pointwiseFilter, ...rest }) => ({
      ...rest, depthwiseFilter: { shape: depthwiseFilter.shape }, pointwiseFilter: { shape: pointwiseFilter.shape },
    }));
    await measuring.warmUp(shapes, { onProgress: (done, total) => void told.push([done, total]) });
    const [all, measured] = [compiles(), waits()];
    check(measured > 0 && told.every(([done, total], index) => done === index + 1 && total === told.length),
      `${measured} waits, progress ${JSON.stringify(told)}`);
    await measuring.prepare(one);
    await measuring.prepare(other);
    check(compiles() === all && all > 3, `measuring compiled ${compiles()} pipelines, ${all} of them before`);
    check(waits() === measured && measuring.tuningReport().length === 2, 'prepare measured again');
    const saved = measuring.exportTuning();
    const before = waits();
    const more = await PipelineManager.create({ device, tuning: { ...saved, measure: true } });
    await more.prepare(other);
    check(waits() === before, 'a saved choice was measured again');
    await more.prepare(layer([1, 9, 12, 8], 1, 8));
    const added = Object.keys(more.exportTuning().choices);
    check(waits() > before && added.length === 3 && !('measure' in more.exportTuning()), added.join());
    for (const choice of [{ strategy: 'fused' }, { strategy: 'two-pass' }]) {
      const choices = Object.fromEntries(Object.entries(saved.choices).map(([key, known]) => {
        const [name] = (known as { presets: string[] }).presets;
        return [key, { ...choice, presets: choice.strategy === 'fused' ? [name] : [name, name] }];
      }));
      const tuned = await PipelineManager.create({ device, tuning: { ...saved, choices } });
      const start = compiles();
      await tuned.warmUp([one]);
      const warm = compiles() - start;
      const conv = await tuned.prepare(one);
      check(
        conv.strategy === choice.strategy && compiles() === start + warm && warm > 0,
        `${conv.strategy}: ${compiles() - start} pipelines, ${warm} of them before`
      );
    }
    device.destroy();
  },

  async 'measuring takes few submits, tells what it tried, and takes none that is slower'() {
    const device = await borrowedDevice({}, ['subgroups', 'timestamp-query']);
    const manager = await PipelineManager.create({ device, tuning: 'measure' });
    let submits = 0; // Empty ones, which hurry Firefox, are none.
    const { queue } = device;
    const submit = queue.submit.bind(queue);
    queue.submit = (commands) => {
      if ([...commands].length > 0) submits++;
      return submit(commands);
    };
    const conv = await manager.prepare(layer([1, 14, 14, 64], 1, 64));
    check(submits > 10 && submits <= 161, `${submits} submits`);
    const [entry, ...others] = manager.tuningReport();
    check(entry !== undefined && others.length === 0, 'the report');
    const { key, chosen, tried } = entry;
    const told = JSON.stringify(entry);
    check(key.startsWith('N=1 H=14 W=14 C=64') && chosen.strategy === conv.strategy, told);
    check(tried.length >= 4 && tried.every(({ kernels }) => kernels.length > 0), told);
    // Of those that were in to the end, the first in the model's order that is as good as the best, so that the same
    // times give the same choice.
    const most = Math.max(...tried.map(({ samples }) => samples));
    const last = tried.filter(({ samples }) => samples === most);
    const best = Math.min(...last.map(({ milliseconds }) => milliseconds));
    const EQUAL = 1.03 * (1 + 1e-7); // The report's milliseconds are quotients times a time, and so rounded.
    const winner = last.find(({ milliseconds }) => milliseconds <= EQUAL * best)!;
    check(winner.strategy === chosen.strategy && String(winner.presets) === String(chosen.presets), told);
    check(best > 0 && best < 1000 && tried.every(({ samples }) => samples >= 1), told);
    check(JSON.stringify(manager.exportTuning().choices[key]) === JSON.stringify(chosen), 'exportTuning');
    // What is given out is a copy.
    (manager.exportTuning().choices[key] as { presets: string[] }).presets.length = 0;
    (manager.tuningReport()[0]!.chosen.presets as string[]).length = 0;
    const again = await manager.prepare(layer([1, 14, 14, 64], 1, 64));
    check(String(again.kernels) === String(conv.kernels), 'a table that was given out was changed');
    const before = submits;
    const only = await manager.prepare({ ...layer([1, 4, 4, 8], 1, 8), strategy: 'fused' });
    check(submits <= before + 1 && only.strategy === 'fused', `${submits - before} submits, where there is no choice`);
    check(manager.tuningReport().length === 1, 'what has no choice was measured');
    manager.destroy();
    device.destroy();
  },

  async 'a device whose passes write no timestamps is measured by the wall clock'() {
    const device = await borrowedDevice({}, ['timestamp-query']);
    if (!device.features.has('timestamp-query')) return device.destroy();
    const createCommandEncoder = device.createCommandEncoder.bind(device);
    device.createCommandEncoder = (descriptor) => {
      const encoder = createCommandEncoder(descriptor);
      const beginComputePass = encoder.beginComputePass.bind(encoder);
      encoder.beginComputePass = ({ label = '' } = {}) => beginComputePass({ label });
      return encoder;
    };
    const waits = counted(device.queue, 'onSubmittedWorkDone');
    const manager = await PipelineManager.create({ device, tuning: 'measure' });
    await manager.prepare(layer([1, 12, 12, 8], 1, 8));
    const [entry] = manager.tuningReport();
    check(waits() > 20 && entry !== undefined, `${waits()} waits`);
    check(entry.tried.every(({ milliseconds }) => milliseconds > 0 && milliseconds < 100), JSON.stringify(entry));
    device.destroy();
  },
};
