import { spatialBands } from './bands.js';
import { type Binding, bindGroup, Convolution, type Parts, type Portion, record, type Shared, type Stage, stored } from './convolution.js';
import { type ConvolutionDescriptor, resolveDescriptor, type Weight } from './descriptor.js';
import { checked } from './device.js';
import { UnsupportedError } from './errors.js';
import { elements, type Geometry, operation, outputShape } from './geometry.js';
import { type BandDispatch, checkIndices, type Choice, type Plan, plan, type Strategy } from './plan.js';
import type { DeviceProfile } from './presets.js';
import { borrowedWeights, filterTexture, uploader, weightData } from './weights.js';

/** Makes a convolution ready to run: checks, compiles, uploads. Takes what `readOptions` gave. @throws ValueError, UnsupportedError, DeviceLostError */
export async function prepareConvolution(
  shared: Shared, descriptor: ConvolutionDescriptor, choice?: Choice,
): Promise<Convolution> {
  const geometry = resolveDescriptor(descriptor);
  const op = operation(descriptor.name);
  shared.checkUsable(op);
  const planned = planPortions(geometry, shared.profile, descriptor, choice);
  const [{ plan: { byteLengths } }] = planned;
  const dispatches = planned.flatMap((portion) => portion.plan.dispatches);
  const { device, pipelines } = shared;
  const { K, O, dtype } = geometry;
  const borrowed = borrowedWeights(device, op, descriptor, byteLengths);
  if (dispatches.some(({ channels }) => channels.size < O) && (borrowed.has('pointwiseFilter') || borrowed.has('bias'))) {
    throw new UnsupportedError(`${op}: pointwiseFilter has ${byteLengths.pointwiseFilter} bytes, more than this device can bind as one `
      + 'buffer, so that it and bias must be given as data, which is uploaded in parts');
  }
  const owned: (GPUBuffer | GPUTexture)[] = [];
  let scratch: GPUBuffer | undefined;
  try {
    const compiled = new Map(await Promise.all(dispatches.map(async (dispatch) =>
      [dispatch.name, await pipelines.pipeline(dispatch)] as const)));
    shared.checkUsable(op);
    const parts = await checked(device, op, (): Parts => {
      const upload = uploader(device, op, owned);
      /** A weight for some of the output channels. Absent biases are zeros. */
      const bind = (weight: Weight, { offset, size: count } = { offset: 0, size: O }): Binding => {
        const given = borrowed.get(weight);
        if (given) return given;
        const data = weightData(op, descriptor, weight);
        const part = data && (count < O ? columns(data, O, offset, count) : data);
        const size = Math.ceil(byteLengths[weight] / O * count / 4) * 4;
        return { buffer: upload(weight, size, part && stored(part, dtype), GPUBufferUsage.STORAGE), offset: 0, size };
      };
      const depthwise = { depthwiseFilter: bind('depthwiseFilter'), depthwiseBias: bind('depthwiseBias') };
      const pointwise = new Map(dispatches.map(({ channels }) => [channels.offset, channels]));
      const textured = dispatches.some(({ kernel }) => kernel === 'filter-texture');
      const weights = new Map([...pointwise].map(([first, channels]) => [first, {
        ...depthwise, pointwiseFilter: bind('pointwiseFilter', channels), bias: bind('bias', channels),
        ...(textured && { filterTexture: filterTexture(device, op, owned, K, channels.size), nearest: pipelines.nearest }),
      }] as const));
      const size = Math.max(...planned.map((portion) => portion.plan.byteLengths.intermediate));
      scratch = dispatches.length > 0 && planned[0].plan.strategy === 'two-pass' ? shared.scratch.acquire(size) : undefined;
      const intermediate = scratch ? { buffer: scratch, offset: 0, size } : depthwise.depthwiseBias; // Unused by a fused kernel.
      const stageOf = (dispatch: BandDispatch): Stage => ({
        dispatch, pipeline: compiled.get(dispatch.name)!, operands: { ...weights.get(dispatch.channels.offset)!, intermediate },
        uniforms: upload(`${dispatch.kernel} uniforms`, dispatch.uniforms.byteLength, dispatch.uniforms, GPUBufferUsage.UNIFORM),
      });
      // A filter that is the caller's may change from run to run; one that was uploaded goes into its texture now.
      const now = ({ kernel }: BandDispatch): boolean => kernel === 'filter-texture' && !borrowed.has('pointwiseFilter');
      const [first, ...others] = planned.map((portion): Portion => ({
        ...portion, stages: portion.plan.dispatches.filter((dispatch) => !now(dispatch)).map(stageOf),
      }));
      const copies = planned[0].plan.dispatches.filter(now).map(stageOf);
      if (copies.length > 0) {
        copyFilters(shared, op, copies);
        for (const { operands } of copies) operands.pointwiseFilter.buffer.destroy();
      }
      return { portions: [first!, ...others], owned, scratch };
    });
    shared.checkUsable(op);
    return new Convolution(shared, descriptor, geometry, parts);
  } catch (error) {
    for (const resource of owned) resource.destroy();
    if (scratch) shared.scratch.release(scratch, true);
    throw await shared.explain(op, error);
  }
}

/** Copies uploaded filters into their textures. */
function copyFilters(shared: Shared, op: string, copies: readonly Stage[]): void {
  const encoder = shared.device.createCommandEncoder({ label: op });
  const pass = encoder.beginComputePass({ label: op });
  record(pass, copies, copies.map((copy) => bindGroup(shared, op, copy, copy.operands)));
  pass.end();
  shared.device.queue.submit([encoder.finish({ label: op })]);
}

/** Columns `first` to `first + count` of a matrix of rows of `O`. */
function columns(matrix: Float32Array, O: number, first: number, count: number): Float32Array {
  const part = new Float32Array(matrix.length / O * count);
  for (let row = 0; row * O < matrix.length; row++) part.set(matrix.subarray(row * O + first, row * O + first + count), row * count);
  return part;
}

type PlannedPortion = Omit<Portion, 'stages'>;

/** One portion where input and output each fit a buffer. All portions have the strategy and the preset of the first. */
function planPortions(
  geometry: Geometry, profile: DeviceProfile, { strategy, name }: ConvolutionDescriptor, choice?: Choice,
): [PlannedPortion, ...PlannedPortion[]] {
  if (elements(outputShape(geometry)) > 0) checkIndices(geometry, name);
  const most = Math.floor(profile.limits.maxBufferSize / 16) * 16;
  const parts = spatialBands(geometry, most, 'fused') ?? [{ geometry, inputStart: 0, outputStart: 0 }]; // The plan says what is too large.
  const wanted = choice?.strategy ?? strategy as Strategy | undefined;
  let first: Plan | undefined;
  const planned = parts.map(({ geometry: part, inputStart, outputStart }): PlannedPortion => {
    const own = plan(part, profile, first?.strategy ?? wanted, name, first?.preset ?? choice?.preset);
    first ??= own;
    const { N, H, W, C } = part;
    return {
      plan: own, input: { offset: inputStart, size: elements([N, H, W, C]) },
      output: { offset: outputStart, size: elements(outputShape(part)) },
    };
  });
  return planned as [PlannedPortion, ...PlannedPortion[]];
}
