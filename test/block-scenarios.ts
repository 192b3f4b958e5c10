import {
  type AdditionTensors, type ConvolutionDescriptor, depthwiseConv2d, PipelineManager, pointwiseConv2d, separableConv2d,
  type Tensor4D, UnsupportedError, ValueError,
} from 'sepconv-webgpu';
import {
  depthwiseConv2dReference, pointwiseConv2dReference, separableConv2dGradientsReference, separableConv2dReference,
} from 'sepconv-webgpu/reference';
import { randomData } from './random.js';
import {
  borrowedDevice, check, checkClose, checkThrows, download, draw, type Scenarios, tensor, upload,
} from './scenarios.js';

/** What blocks of mobile networks are made of, through the public API: either pass alone. */

const vector = (length: number): Float32Array => randomData(length, draw);
const identity = (size: number): Tensor4D => {
  const data = Float32Array.from({ length: size * size }, (_, i) => Number(i % (size + 1) === 0));
  return { shape: [1, 1, size, size], data };
};
const ones = (channels: number): Tensor4D => ({ shape: [1, 1, channels, 1], data: new Float32Array(channels).fill(1) });

export const blockScenarios: Scenarios = {
  async 'either pass alone by one call'() {
    for (const [C, M] of [[8, 1], [5, 2], [3, 4]] as const) {
      const [x, d, p] = [tensor(2, 7, 9, C), tensor(3, 3, C, M), tensor(1, 1, C, 13)];
      const shared = { name: 'half', activation: 'relu6', strides: [1, 2, 2, 1] } as const;
      const depthwise = { ...shared, padding: 'SAME', bias: vector(C * M) } as const;
      checkClose(
        await depthwiseConv2d(x, d, depthwise), depthwiseConv2dReference(x, d, depthwise), 10, `depthwise ${C}`);
      const rated = { padding: [[1, 2], [3, 0]], rate: [2, 1] } as const;
      checkClose(await depthwiseConv2d(x, d, rated), depthwiseConv2dReference(x, d, rated), 10, `rate, ${C}`);
      const pointwise = { ...shared, bias: vector(13) };
      checkClose(
        await pointwiseConv2d(x, p, pointwise), pointwiseConv2dReference(x, p, pointwise), C, `pointwise ${C}`);
      checkClose(await pointwiseConv2d(x, p), pointwiseConv2dReference(x, p), C, `pointwise ${C} without options`);
    }
    const none = await pointwiseConv2d({ shape: [1, 0, 5, 4], data: new Float32Array(0) }, tensor(1, 1, 4, 8));
    check(String(none.shape) === '1,0,5,8' && none.data.length === 0, `shape ${String(none.shape)}`);
  },

  async "either pass alone in the caller's pass: offsets, guard words, filters in buffers, tuning"() {
    const device = await borrowedDevice();
    for (const tuning of [undefined, 'measure'] as const) {
      const manager = await PipelineManager.create({ device, tuning });
      for (const C of [8, 5]) {
        const [x, d, p, bias] = [tensor(1, 9, 7, C), tensor(3, 3, C, 2), tensor(1, 1, 2 * C, 12), vector(12)];
        const layers: readonly ConvolutionDescriptor[] = [
          { inputShape: x.shape, padding: 'SAME', depthwiseFilter: { shape: d.shape, buffer: upload(device, d.data) } },
          { inputShape: [1, 9, 7, 2 * C], padding: 'VALID', strides: 2, pointwiseFilter: p, bias, activation: 'silu' },
        ];
        await manager.warmUp(layers);
        const [first, second] = [await manager.prepare(layers[0]!), await manager.prepare(layers[1]!)];
        check(first.strategy === 'depthwise' && first.label === 'depthwiseConv2d', `${first.strategy}, ${first.label}`);
        check(second.strategy === 'pointwise' && second.label === 'pointwiseConv2d', second.strategy);
        check(String(first.outputShape) === `1,9,7,${2 * C}`, `shape ${String(first.outputShape)}`);
        const input = upload(device, x.data, 256);
        const between = upload(device, new Float32Array(0), 512 + first.outputByteLength, 256);
        const output = upload(device, new Float32Array(0), 256 + second.outputByteLength, 256);
        const encoder = device.createCommandEncoder();
        const pass = encoder.beginComputePass();
        first.encode(pass, { input: { buffer: input, offset: 256 }, output: { buffer: between, offset: 512 } });
        second.encode(pass, { input: { buffer: between, offset: 512 }, output: { buffer: output, offset: 256 } });
        pass.end();
        device.queue.submit([encoder.finish()]);
        const middle = depthwiseConv2dReference(x, d, { padding: 'SAME' });
        const expected = pointwiseConv2dReference(middle, p, { strides: 2, bias, activation: 'silu' });
        for (const [result, buffer, offset] of [[middle, between, 512], [expected, output, 256]] as const) {
          const bytes = await download(device, buffer);
          const data = new Float32Array(bytes, offset, result.data.length);
          checkClose({ shape: result.shape, data }, result, 100, `C = ${C}`);
          const words = new Uint32Array(bytes);
          const beside = [...words.subarray(0, offset / 4), ...words.subarray(offset / 4 + result.data.length)];
          check(beside.length >= 128 && beside.every((word) => word === words[0]), 'words beside the output changed');
        }
        await checkThrows(() => first.encode(pass, { input, output, intermediate: between }), ValueError,
          "intermediate must be absent for strategy 'depthwise', which never stores it");
      }
      if (tuning) {
        const reports = manager.tuningReport();
        check(reports.length > 0, 'nothing was measured'); // A pass that any preset computes alike is not.
        for (const { chosen, key } of reports) check(key.includes(`passes=${chosen.strategy}`), `${key} chose another`);
      }
      manager.destroy();
    }
    device.destroy();
  },

  async 'either pass alone in bands and in portions'() {
    const manager = await PipelineManager.create({ device: await borrowedDevice(), maxBindingBytes: 4096 });
    const x = tensor(3, 21, 11, 5);
    const [d, p] = [tensor(3, 3, 5, 1), tensor(1, 1, 5, 7)];
    for (const strides of [1, 2]) {
      const options = { strides, padding: 'SAME', manager } as const;
      checkClose(await depthwiseConv2d(x, d, options), depthwiseConv2dReference(x, d, options), 10, 'depthwise');
      checkClose(await pointwiseConv2d(x, p, options), pointwiseConv2dReference(x, p, options), 10, 'pointwise');
    }
    manager.destroy();
    manager.device.destroy();
  },

  async 'gradients of either pass alone are those of both where the other changes nothing'() {
    using manager = await PipelineManager.create();
    const kinds = (['linear', 'relu6', 'silu'] as const).flatMap((activation) =>
      [1, 2].flatMap((strides) => [4, 5].map((C) => ({ C, strides, activation }))));
    for (const { C, strides, activation } of kinds) {
      const x = tensor(1, 6, 7, C);
      const [d, p, e] = [tensor(3, 3, C, 1), tensor(1, 1, C, 6), identity(C)];
      const [dBias, pBias] = [vector(C), vector(6)];
      const [OH, OW] = [Math.ceil(6 / strides), Math.ceil(7 / strides)];
      const [dyOfD, dyOfP] = [tensor(1, OH, OW, C), tensor(1, OH, OW, 6)];
      const shared = { inputShape: x.shape, padding: 'SAME', strides, activation } as const;
      const byD = await manager.prepareGradients({ ...shared, depthwiseFilter: d, bias: dBias });
      const byP = await manager.prepareGradients({ ...shared, pointwiseFilter: p, bias: pBias });
      const options = { padding: 'SAME', strides, activation, allowOverparameterized: true } as const;
      const ofD = separableConv2dGradientsReference(dyOfD, x, d, e, { ...options, bias: dBias });
      const ofP = separableConv2dGradientsReference(dyOfP, x, ones(C), p, { ...options, bias: pBias });
      const [gotD, gotP] = [await byD.run(dyOfD, x), await byP.run(dyOfP, x)];
      const what = `C = ${C}, strides ${strides}, ${activation}`;
      check(Object.keys(gotD).join() === 'input,depthwiseFilter,bias', `depthwise: ${Object.keys(gotD).join()}`);
      check(Object.keys(gotP).join() === 'input,pointwiseFilter,bias', `pointwise: ${Object.keys(gotP).join()}`);
      const row = (data: Float32Array): Tensor4D => ({ shape: [1, 1, 1, data.length], data });
      for (const [got, wanted, name] of [
        [gotD.input, ofD.input, 'input'], [gotD.depthwiseFilter!, ofD.depthwiseFilter, 'depthwiseFilter'],
        [row(gotD.bias!), row(ofD.bias!), 'bias'], [gotP.input, ofP.input, 'input'],
        [gotP.pointwiseFilter!, ofP.pointwiseFilter, 'pointwiseFilter'], [row(gotP.bias!), row(ofP.bias!), 'bias'],
      ] as const) checkClose(got, wanted, 200, `${name}, ${what}`);
      check(byP.byteLengths.depthwiseFilterGradient === 0 && byD.byteLengths.biasGradient === 4 * C, 'bytes');
    }
  },

  async 'a residual and factors of channels, by run and by encode'() {
    const device = await borrowedDevice();
    const kinds = [[8, 'fused'], [8, 'two-pass'], [5, 'auto']] as const;
    for (const [more, layersOf] of [
      [{}, kinds], [{ maxBindingBytes: 2048 }, kinds], [{ tuning: 'measure' }, [[8, 'auto']]],
    ] as const) {
      const manager = await PipelineManager.create({ device, ...more });
      for (const [C, strategy] of layersOf) {
        const [x, d, p, bias] = [tensor(2, 9, 7, C), tensor(3, 3, C, 1), tensor(1, 1, C, C), vector(C)];
        const additions = { residual: tensor(2, 9, 7, C), inputScale: vector(2 * C) };
        const shared = { inputShape: x.shape, bias, activation: 'relu6', residual: true } as const;
        const both = { ...shared, padding: 'SAME', depthwiseFilter: d, pointwiseFilter: p, inputScale: true, strategy };
        const alone = { ...shared, pointwiseFilter: p, inputScale: true };
        const first = { ...shared, padding: 'SAME', depthwiseFilter: d };
        const { residual: r } = additions;
        const layers: readonly (readonly [Parameters<typeof manager.prepare>[0], Tensor4D, AdditionTensors])[] = [
          [both, separableConv2dReference(x, d, p, both, additions), additions],
          [alone, pointwiseConv2dReference(x, p, alone, additions), additions],
          [first, depthwiseConv2dReference(x, d, first, { residual: r }), { residual: r }],
        ];
        for (const [layer, expected, given] of layers) {
          const conv = await manager.prepare(layer);
          checkClose(await conv.run(x, given), expected, 40, `${conv.label}, ${strategy}`);
          const [input, residual, scale] = [upload(device, x.data), upload(device, given.residual!.data, 512),
            upload(device, given.inputScale ?? new Float32Array(4), 256)];
          const output = upload(device, new Float32Array(0), conv.outputByteLength);
          const encoder = device.createCommandEncoder();
          const pass = encoder.beginComputePass();
          conv.encode(pass, {
            input, output, residual: { buffer: residual, offset: 512 },
            ...(given.inputScale && { inputScale: { buffer: scale, offset: 256 } }),
          });
          pass.end();
          device.queue.submit([encoder.finish()]);
          const data = new Float32Array(await download(device, output));
          checkClose({ shape: expected.shape, data }, expected, 40, `${conv.label}, ${strategy}, encoded`);
        }
      }
      manager.destroy();
    }
    device.destroy();
  },

  async 'a residual and factors in portions: of images, and of rows of an image'() {
    const device = await borrowedDevice();
    // No device has such buffers: the manager is told so.
    const limits = new Proxy(device.limits, {
      get: (own, name) => (name === 'maxBufferSize' ? 4096 : Reflect.get(own, name) as unknown),
    });
    Object.defineProperty(device, 'limits', { value: limits });
    const manager = await PipelineManager.create({ device });
    for (const [H, W, C] of [[9, 7, 8], [21, 11, 8], [8, 9, 5]] as const) {
      const [x, d, p] = [tensor(3, H, W, C), tensor(3, 3, C, 1), tensor(1, 1, C, C)];
      const additions = { residual: tensor(3, H, W, C), inputScale: vector(3 * C) };
      const { residual } = additions;
      const shared = { inputShape: x.shape, padding: 'SAME', activation: 'relu6', residual: true } as const;
      const [first, alone] = [{ ...shared, depthwiseFilter: d }, { ...shared, pointwiseFilter: p, inputScale: true }];
      const both = { ...shared, depthwiseFilter: d, pointwiseFilter: p, inputScale: true };
      const whole = separableConv2dReference(x, d, p, both, additions);
      const layers: readonly (readonly [Parameters<typeof manager.prepare>[0], Tensor4D, AdditionTensors])[] = [
        [{ ...both, strategy: 'fused' }, whole, additions], [{ ...both, strategy: 'two-pass' }, whole, additions],
        [alone, pointwiseConv2dReference(x, p, alone, additions), additions],
        [first, depthwiseConv2dReference(x, d, first, { residual }), { residual }],
      ];
      for (const [layer, expected, given] of layers) {
        const conv = await manager.prepare(layer);
        await checkThrows(() => conv.encode({} as never, {} as never), UnsupportedError, 'use run');
        checkClose(await conv.run(x, given), expected, 40, `${conv.label}, ${conv.strategy}, ${H}x${W}x${C}`);
      }
    }
    manager.destroy();
    device.destroy();
  },

  async 'gradients of a residual and of factors'() {
    using manager = await PipelineManager.create();
    for (const activation of ['linear', 'relu6', 'silu'] as const) for (const C of [8, 5]) {
      const [x, d, p, bias] = [tensor(2, 6, 7, C), tensor(3, 3, C, 1), tensor(1, 1, C, 9), vector(9)];
      const given = { residual: tensor(2, 6, 7, 9), inputScale: vector(2 * C) };
      const dy = tensor(2, 6, 7, 9);
      const layer = {
        inputShape: x.shape, padding: 'SAME', depthwiseFilter: d, pointwiseFilter: p, bias, activation,
        depthwiseActivation: 'relu6', residual: true, inputScale: true,
      } as const;
      const expected = separableConv2dGradientsReference(dy, x, d, p, layer, given);
      const actual = await (await manager.prepareGradients(layer)).run(dy, x, given);
      check(Object.keys(actual).join() === Object.keys(expected).join(), `gradients ${Object.keys(actual).join()}`);
      for (const name of Object.keys(expected) as (keyof typeof expected)[]) {
        const [got, wanted] = [actual[name]!, expected[name]!].map((value): Tensor4D =>
          ('shape' in value ? value : { shape: [1, 1, 1, value.length], data: value })) as [Tensor4D, Tensor4D];
        checkClose(got, wanted, 200, `${name}, C = ${C}, ${activation}`);
      }
    }
  },

  async "the residual may be the input's own buffer, but never the output's"() {
    const device = await borrowedDevice();
    const manager = await PipelineManager.create({ device });
    const [x, d, p] = [tensor(1, 8, 7, 8), tensor(3, 3, 8, 1), tensor(1, 1, 8, 8)];
    for (const strategy of ['fused', 'two-pass'] as const) {
      const layer = {
        inputShape: x.shape, padding: 'SAME', depthwiseFilter: d, pointwiseFilter: p, strategy, residual: true,
      } as const;
      const conv = await manager.prepare(layer);
      const [buffer, output] = [upload(device, x.data), upload(device, new Float32Array(0), conv.outputByteLength)];
      const encoder = device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      conv.encode(pass, { input: buffer, residual: buffer, output });
      const other = upload(device, x.data);
      await checkThrows(() => conv.encode(pass, { input: other, output: buffer, residual: buffer }), ValueError,
        'output must be another buffer than residual, because WebGPU lets no dispatch read and write one buffer');
      pass.end();
      device.queue.submit([encoder.finish()]);
      const expected = separableConv2dReference(x, d, p, layer, { residual: x });
      const data = new Float32Array(await download(device, output));
      checkClose({ shape: expected.shape, data }, expected, 20, strategy);
    }
    manager.destroy();
    device.destroy();
  },

  async 'residuals and factors that are wrong'() {
    const device = await borrowedDevice();
    using manager = await PipelineManager.create({ device });
    const [x, d, p] = [tensor(2, 5, 5, 4), tensor(3, 3, 4, 1), tensor(1, 1, 4, 8)];
    const wrong = (work: () => unknown, message: string) => checkThrows(work, ValueError, message);
    const layer = { inputShape: x.shape, padding: 'SAME', depthwiseFilter: d, pointwiseFilter: p };
    const [plain, full] = [
      await manager.prepare(layer), await manager.prepare({ ...layer, residual: true, inputScale: true }),
    ];
    const residual = tensor(2, 5, 5, 8);
    await wrong(() => plain.run(x, { residual }), "separableConv2d: additions must be among none, got 'residual'");
    await wrong(() => full.run(x), 'separableConv2d: residual must be { shape, data }, got undefined');
    await wrong(() => full.run(x, { residual: x, inputScale: vector(8) }),
      'separableConv2d: residual must be [2, 5, 5, 8], got [2, 5, 5, 4]');
    await wrong(() => full.run(x, { residual, inputScale: vector(4) }),
      'separableConv2d: inputScale must have 8 elements for shape [2, 4], got 4');
    const [input, output] = [upload(device, x.data), upload(device, residual.data)];
    const pass = device.createCommandEncoder().beginComputePass();
    await wrong(() => plain.encode(pass, { input, output, residual: input }), "got 'residual'");
    await wrong(() => full.encode(pass, { input, output }),
      'separableConv2d: residual must be a GPUBuffer with usage STORAGE, got undefined');
    await wrong(() => manager.prepare({ inputShape: x.shape, padding: 'SAME', depthwiseFilter: d, inputScale: true }),
      'depthwiseConv2d: inputScale must be false where there is no pointwise pass, got true');
    await wrong(() => manager.prepare({ ...layer, residual: 1 as never }),
      'separableConv2d: residual must be a boolean, got 1');
    device.destroy();
  },

  async 'arguments of either pass alone that are wrong'() {
    using manager = await PipelineManager.create();
    const [x, d, p] = [tensor(1, 5, 5, 4), tensor(3, 3, 4, 1), tensor(1, 1, 4, 8)];
    const prepare = (more: object) => () =>
      manager.prepare({ inputShape: x.shape, ...more } as unknown as ConvolutionDescriptor);
    const wrong = (work: () => unknown, message: string) => checkThrows(work, ValueError, message);
    await wrong(prepare({ padding: 'SAME' }),
      'separableConv2d: depthwiseFilter, pointwiseFilter or both must be given, got neither');
    await wrong(prepare({ depthwiseFilter: d }), "depthwiseConv2d: padding must be 'SAME', 'VALID'");
    await wrong(prepare({ depthwiseFilter: d, padding: 'SAME', depthwiseBias: vector(4) }),
      'depthwiseConv2d: depthwiseBias must be absent where there is one pass, which bias and activation follow, '
      + 'got [4]');
    await wrong(prepare({ pointwiseFilter: p, depthwiseActivation: 'relu' }),
      "pointwiseConv2d: depthwiseActivation must be absent where there is one pass, which bias and activation follow");
    await wrong(prepare({ pointwiseFilter: p, padding: [[0, 1], [0, 0]] }),
      'pointwiseConv2d: padding must pad nothing for a pointwise pass alone, got [[0, 1], [0, 0]]');
    await wrong(prepare({ pointwiseFilter: p, rate: 2, name: 'expand' }),
      "pointwiseConv2d 'expand': rate must be 1 for a pointwise pass alone, got [2, 2]");
    await wrong(prepare({ pointwiseFilter: p, strategy: 'two-pass' }),
      "pointwiseConv2d: strategy must be 'auto' where there is one pass, got 'two-pass'");
    await wrong(prepare({ pointwiseFilter: tensor(1, 1, 5, 8) }),
      'pointwiseConv2d: pointwiseFilter must be [1, 1, 4, O] (C = 4 input channels), got [1, 1, 5, 8]');
    await wrong(prepare({ depthwiseFilter: d, padding: 'SAME', bias: vector(3) }),
      'depthwiseConv2d: bias must be [4], got [3]');
    await wrong(() => depthwiseConv2d(x, p, { padding: 'SAME', strategy: 'auto' } as never), "got 'strategy'");
    await wrong(() => pointwiseConv2d(x, d), 'pointwiseConv2d: pointwiseFilter must be [1, 1, C, O], got [3, 3, 4, 1]');
    await wrong(() => pointwiseConv2d(x, p, null as never), 'pointwiseConv2d: options must be an object, got null');
    await wrong(() => separableConv2d(x, d, undefined as never, { padding: 'SAME' }),
      'separableConv2d: pointwiseFilter must be { shape, data }, got undefined');
    const gradients = await manager.prepareGradients({ inputShape: x.shape, pointwiseFilter: p });
    await wrong(() => gradients.encode({} as never, { intermediate: {} } as never), "got 'intermediate'");
    await wrong(() => gradients.encode({} as never, { depthwiseFilterGradient: {} } as never),
      "got 'depthwiseFilterGradient'");
  },
};
