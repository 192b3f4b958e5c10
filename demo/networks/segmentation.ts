import { depthwise, full, type Layer, mean, type Network, pointwise, separable, upscale } from './network.js';
import type { Model, Operator, OperatorName, OptionsOf } from './tflite.js';
import type { Weight } from './weights.js';

/** What a convolution of the file has, in this library's layouts. */
interface Weights { readonly filter: Weight; readonly bias: Float32Array<ArrayBuffer>; readonly stride: number }

/** A tensor of the file, and the layer here that computes it. */
interface Value { readonly tensor: number; readonly layer: string }

/** `relu(depthwise(x)) + x`: the 1×1 convolution that follows is computed in two parts, which are added. */
interface Doubled { readonly value: Value; readonly depthwise: Weights }

type Activation = 'relu' | 'hardSwish' | 'sigmoid' | 'linear';

/**
 * MediaPipe's network that tells people from the background, `[1, 256, 256, 3]` to `[1, 128, 128, 4]`: MobileNetV3's
 * blocks down to 16×16, then three steps up, each with what the way down had at that size. The four channels of a
 * pixel are the 2×2 pixels of the mask that it covers, row by row: the probability of a person.
 *
 * The file's operators are taken in their order. Every one must be what this network has there, and read what it reads
 * there. What is computed is the same, in fewer steps:
 *
 * - A 1×1 convolution comes before the upscaling that the file has first, on a quarter of the pixels: both are linear,
 *   each pixel for itself and each channel for itself, and the factors of an upscaling add up to 1.
 * - The mean of an upscaled tensor is the mean of the tensor.
 * - A 1×1 convolution of a sum is the sum of two: the second one's residual.
 * - A transposed convolution of 2×2 with stride 2 is a 1×1 convolution to four channels.
 */
export function selfieSegmentation(model: Model): Network {
  const [, H, W, C] = model.shapeOf(model.input);
  if (H !== W || C !== 3) throw new Error(`The network takes ${H}×${W}×${C}, not a square picture`);
  const layers: Layer[] = [];
  const add = (tensor: number, layer: Layer): Value => {
    layers.push(layer);
    return { tensor, layer: layer.name };
  };
  const file = new Cursor(model);

  const first = file.convolution(model.input);
  const stem = file.activation(first.output);
  const [patches, mixed] = full('stem', first.filter, {
    bias: first.bias, stride: first.stride, activation: stem.activation,
  });
  layers.push(patches);
  let value = add(stem.output, mixed);
  const skips = [value];

  /** Two 1×1 convolutions of the mean over all pixels of a sum: a factor for each channel. */
  const squeeze = (name: string, sum: number, [one, other]: readonly [string, string?]): Value => {
    const inner = file.pointwise(file.mean(sum));
    const { activation, output } = file.activation(inner.output);
    const outer = file.pointwise(output);
    if (other !== undefined) {
      layers.push(mean(`${name} mean of ${other}`, other));
      layers.push(pointwise(`${name} squeeze of ${other}`, inner.filter));
    }
    layers.push(mean(`${name} mean`, one));
    layers.push(pointwise(`${name} squeeze`, inner.filter, {
      bias: inner.bias, activation, ...(other !== undefined && { residual: `${name} squeeze of ${other}` }),
    }));
    return add(file.take('LOGISTIC', outer.output).output, pointwise(`${name} factors`, outer.filter, {
      bias: outer.bias, activation: 'sigmoid',
    }));
  };

  /** Expand, depthwise, factors if there are some, project, and the input again if it is added. */
  const block = (name: string): void => {
    const input = value;
    const expand = file.pointwise(input.tensor);
    const expanded = file.activation(expand.output);
    layers.push(pointwise(`${name} expand`, expand.filter, {
      from: input.layer, bias: expand.bias, activation: expanded.activation,
    }));
    const spatial = file.depthwise(expanded.output);
    const between = file.activation(spatial.output);
    const { filter, bias: depthwiseBias, stride } = spatial;
    if (file.next === 'AVERAGE_POOL_2D') {
      const activated = add(between.output, depthwise(`${name} depthwise`, filter, {
        stride, bias: depthwiseBias, activation: between.activation,
      }));
      const factors = squeeze(name, activated.tensor, [activated.layer]);
      const project = file.pointwise(file.take('MUL', activated.tensor, factors.tensor).output);
      const sum = file.residual(project.output, input.tensor);
      value = add(sum ?? project.output, pointwise(`${name} project`, project.filter, {
        from: activated.layer, inputScale: factors.layer, bias: project.bias,
        ...(sum !== undefined && { residual: input.layer }),
      }));
    } else {
      const project = file.pointwise(between.output);
      const sum = file.residual(project.output, input.tensor);
      value = add(sum ?? project.output, separable(`${name} project`, filter, project.filter, {
        stride, depthwiseBias, depthwiseActivation: between.activation, bias: project.bias,
        ...(sum !== undefined && { residual: input.layer }),
      }));
    }
  };

  /** A 1×1 convolution of what the last step up left. */
  const mix = (name: string, { value: x, depthwise: spatial }: Doubled, { filter, bias }: Weights,
    activation: Activation = 'linear'): string => {
    layers.push(pointwise(`${name} of itself`, filter, { from: x.layer }));
    layers.push(separable(name, spatial.filter, filter, {
      from: x.layer, depthwiseBias: spatial.bias, depthwiseActivation: 'relu', bias, activation,
      residual: `${name} of itself`,
    }));
    return name;
  };

  /** Twice as many rows and columns, joined with what the way down had there. */
  const up = (name: string, skip: Value, input: number, narrow: (weights: Weights) => string): Doubled => {
    const narrowing = file.pointwise(file.upscale(input));
    const low = narrow(narrowing);
    const sum = file.take('ADD', skip.tensor, narrowing.output).output;
    const factors = squeeze(name, sum, [low, skip.layer]);
    const scaled = file.take('MUL', skip.tensor, factors.tensor).output;
    const joined = file.take('ADD', scaled, narrowing.output).output;
    layers.push(upscale(`${name} joined`, { from: low, skip: skip.layer, skipScale: factors.layer }));
    const mixing = file.pointwise(joined);
    const { activation, output } = file.activation(mixing.output);
    const mixed = add(output, pointwise(`${name} mixed`, mixing.filter, { bias: mixing.bias, activation }));
    const spatial = file.depthwise(output);
    const twin = file.take('RELU', spatial.output).output;
    return { value: { ...mixed, tensor: file.take('ADD', output, twin).output }, depthwise: spatial };
  };

  for (let i = 1; file.next === 'CONV_2D'; i++) {
    block(`block${i}`);
    if (i === 1 || i === 3) skips.push(value);
  }

  // At the bottom the factors come from other weights: the mean of the input, not of what they multiply.
  const bottom = value;
  const pooled = file.mean(bottom.tensor);
  const [features, gate] = [file.pointwise(bottom.tensor), file.pointwise(pooled)];
  const activated = file.activation(features.output);
  layers.push(mean('bottom mean', bottom.layer));
  const factors = add(file.take('LOGISTIC', gate.output).output, pointwise('bottom factors', gate.filter, {
    bias: gate.bias, activation: 'sigmoid',
  }));
  const wide = add(activated.output, pointwise('bottom', features.filter, {
    from: bottom.layer, bias: features.bias, activation: activated.activation,
  }));
  const gated = file.take('MUL', wide.tensor, factors.tensor).output;

  let last = up('up1', skips.pop()!, gated, ({ filter, bias }) => {
    layers.push(pointwise('up1 narrow', filter, { from: wide.layer, inputScale: factors.layer, bias }));
    return 'up1 narrow';
  });
  for (let i = 2; skips.length > 0; i++) {
    const before = last;
    last = up(`up${i}`, skips.pop()!, before.value.tensor, (weights) => mix(`up${i} narrow`, before, weights));
  }
  const expansion = file.transposedConvolution(last.value.tensor);
  mix('mask', last, expansion, 'sigmoid');
  file.end(file.take('LOGISTIC', expansion.output).output);
  return { id: 'selfie segmentation', inputSize: H!, layers };
}

/** The operators of a file, one after the other. Each call takes the next. @throws Error where it is another */
class Cursor {
  readonly #model: Model;
  #at = 0;

  constructor(model: Model) {
    this.#model = model;
  }

  /** The name of the next operator. */
  get next(): OperatorName | undefined {
    return this.#model.operators[this.#at]?.name;
  }

  /** The next operator, which has this name and reads these tensors, in any order, before its constants. */
  take<Name extends OperatorName>(
    name: Name, ...inputs: readonly number[]
  ): Operator & { readonly options: OptionsOf<Name> } {
    const operator = this.#model.operators[this.#at];
    const place = `operator ${this.#at} of the network`;
    if (operator?.name !== name) throw new Error(`The ${place} is ${operator?.name ?? 'missing'}, not ${name}`);
    const read = operator.inputs.slice(0, inputs.length);
    if (inputs.some((tensor) => !read.includes(tensor))) {
      throw new Error(`The ${place}, ${name}, reads ${read.join(', ')}, not ${inputs.join(', ')}`);
    }
    this.#at++;
    return operator as Operator & { readonly options: OptionsOf<Name> };
  }

  /** An activation of its own. */
  activation(input: number): { readonly activation: Activation; readonly output: number } {
    const kinds: Partial<Record<OperatorName, Activation>> = { RELU: 'relu', HARD_SWISH: 'hardSwish' };
    const activation = this.next && kinds[this.next];
    if (!activation) throw new Error(`The operator ${this.#at} of the network is ${this.next}, not an activation`);
    return { activation, output: this.take(this.next!, input).output };
  }

  /** The output of an addition of these two, if that comes next and they are of one shape. */
  residual(output: number, input: number): number | undefined {
    const reads = this.next === 'ADD' ? this.#model.operators[this.#at]!.inputs : [];
    return reads.includes(output) && reads.includes(input) ? this.take('ADD', output, input).output : undefined;
  }

  /** A convolution of any size, padding SAME, its filter as `[KH, KW, C, O]`. */
  convolution(input: number): Weights & { readonly output: number } {
    const { inputs, output, options } = this.take('CONV_2D', input);
    const filter = this.#model.weight(inputs[1]!);
    const [O, KH, KW, C] = filter.shape as [number, number, number, number];
    checkWindow('CONV_2D', options, KH * KW === 1);
    const data = new Float32Array(filter.data.length);
    const taps = KH * KW * C;
    for (let o = 0; o < O; o++) for (let i = 0; i < taps; i++) data[i * O + o] = filter.data[o * taps + i]!;
    const bias = this.#model.weight(inputs[2]!).data;
    return { filter: { shape: [KH, KW, C, O], data }, bias, stride: options.strideH, output };
  }

  pointwise(input: number): Weights & { readonly output: number } {
    const weights = this.convolution(input);
    const { filter: { shape: [KH, KW] }, stride } = weights;
    const isPixel = KH === 1 && KW === 1 && stride === 1;
    if (!isPixel) throw new Error(`A convolution is ${KH}×${KW}, stride ${stride}, not 1×1`);
    return weights;
  }

  /** Padding SAME, its filter as `[KH, KW, C, 1]`. */
  depthwise(input: number): Weights & { readonly output: number } {
    const { inputs, output, options } = this.take('DEPTHWISE_CONV_2D', input);
    checkWindow('DEPTHWISE_CONV_2D', options, false);
    if (options.multiplier !== 1) throw new Error(`A channel multiplier is ${options.multiplier}, not 1`);
    const { shape: [, KH, KW, C], data } = this.#model.weight(inputs[1]!);
    const bias = this.#model.weight(inputs[2]!).data;
    return { filter: { shape: [KH!, KW!, C!, 1], data }, bias, stride: options.strideH, output };
  }

  /** 2×2, stride 2, one output channel: as a 1×1 convolution `[1, 1, C, 4]`. */
  transposedConvolution(input: number): Weights & { readonly output: number } {
    const { inputs, output } = this.take('Convolution2DTransposeBias', input);
    const { shape: [O, KH, KW, C], data } = this.#model.weight(inputs[1]!);
    const [before, after] = [this.#model.shapeOf(input), this.#model.shapeOf(output)];
    if (O !== 1 || KH !== 2 || KW !== 2 || after[1] !== 2 * before[1]! || after[2] !== 2 * before[2]!) {
      throw new Error(`A transposed convolution is ${KH}×${KW} to ${O} channels, not 2×2 with stride 2 to one`);
    }
    const filter = new Float32Array(4 * C!);
    for (let tap = 0; tap < 4; tap++) for (let c = 0; c < C!; c++) filter[c * 4 + tap] = data[tap * C! + c]!;
    const bias = new Float32Array(4).fill(this.#model.weight(inputs[2]!).data[0]!);
    return { filter: { shape: [1, 1, C!, 4], data: filter }, bias, stride: 1, output };
  }

  /** The mean of all pixels. */
  mean(input: number): number {
    const { output, options: { filterH, filterW } } = this.take('AVERAGE_POOL_2D', input);
    const [, H, W] = this.#model.shapeOf(input);
    const isWhole = filterH === H && filterW === W;
    if (!isWhole) throw new Error(`A pool is ${filterH}×${filterW}, not of all ${H}×${W} pixels`);
    return output;
  }

  /** Twice the rows and columns. */
  upscale(input: number): number {
    const { output, options: { alignCorners, halfPixelCenters } } = this.take('RESIZE_BILINEAR', input);
    const [before, after] = [this.#model.shapeOf(input), this.#model.shapeOf(output)];
    const doubles = after[1] === 2 * before[1]! && after[2] === 2 * before[2]!;
    if (!doubles || alignCorners !== 0 || halfPixelCenters !== 1) {
      throw new Error('The network scales otherwise than to twice the size, pixels at the centres of their squares');
    }
    return output;
  }

  /** Nothing is left, and this is what the network gives. */
  end(output: number): void {
    if (this.next !== undefined) throw new Error(`The network goes on with ${this.next} after its mask`);
    if (output !== this.#model.output) throw new Error('The network gives something else than its mask');
  }
}

/** In the schema's enumeration of paddings SAME is 0. Where a window is one pixel, VALID is the same. */
function checkWindow(
  name: string, { padding, strideW, strideH, dilationW, dilationH }: OptionsOf<'CONV_2D'>, isPixel: boolean,
): void {
  if (padding !== 0 && !isPixel) throw new Error(`A ${name} has padding VALID, not SAME`);
  if (strideW !== strideH) throw new Error(`A ${name} has strides ${strideH} and ${strideW}, not one for both`);
  if (dilationW !== 1 || dilationH !== 1) throw new Error(`A ${name} has rates ${dilationH} and ${dilationW}, not 1`);
}
