import { bands } from './bands.js';
import { type Binding, Convolution, type Parts, type Portion, resolveBinding, type Shared, stored } from './convolution.js';
import { type ConvolutionDescriptor, isGpuTensor, resolveDescriptor } from './descriptor.js';
import { checked } from './device.js';
import { elements, type Geometry, operation, outputShape } from './geometry.js';
import { type Choice, type Plan, plan } from './plan.js';
import type { DeviceProfile } from './presets.js';

const WEIGHTS = ['depthwiseFilter', 'depthwiseBias', 'pointwiseFilter', 'bias'] as const;
type Weight = (typeof WEIGHTS)[number];

/** Makes a convolution ready to run: checks, compiles, uploads. @throws ValueError, UnsupportedError, DeviceLostError */
export async function prepareConvolution(
  shared: Shared, descriptor: ConvolutionDescriptor, choice?: Choice,
): Promise<Convolution> {
  const geometry = resolveDescriptor(descriptor);
  const op = operation(descriptor.name);
  shared.checkUsable(op);
  const planned = planPortions(geometry, shared.profile, descriptor, choice);
  const [{ plan: { byteLengths } }] = planned;
  const { device, pipelines } = shared;
  const borrowed = new Map<Weight, Binding>();
  for (const weight of WEIGHTS) {
    const tensor = descriptor[weight];
    if (isGpuTensor(tensor)) {
      borrowed.set(weight, resolveBinding(device, `${op}: ${weight}`, { offset: 0, ...tensor }, byteLengths[weight]));
    }
  }
  const owned: GPUBuffer[] = [];
  let scratch: GPUBuffer | undefined;
  try {
    const dispatches = planned.flatMap((portion) => portion.plan.dispatches);
    const compiled = new Map(await Promise.all(dispatches.map(async (dispatch) =>
      [dispatch.name, await pipelines.pipeline(dispatch)] as const)));
    shared.checkUsable(op);
    const parts = await checked(device, op, (): Parts => {
      const upload = (what: string, byteLength: number, data: ArrayBuffer | ArrayBufferView | undefined, usage: number): GPUBuffer => {
        const size = Math.max(16, Math.ceil(byteLength / 16) * 16);
        const buffer = device.createBuffer({ label: `${op} ${what}`, size, usage: usage | GPUBufferUsage.COPY_DST });
        owned.push(buffer);
        if (data) device.queue.writeBuffer(buffer, 0, data as ArrayBufferView<ArrayBuffer>);
        return buffer;
      };
      /** Absent biases are zeros. */
      const bind = (weight: Weight): Binding => {
        const given = borrowed.get(weight);
        if (given) return given;
        const tensor = descriptor[weight];
        const size = byteLengths[weight];
        const data = tensor && 'data' in tensor ? tensor.data : tensor as Float32Array | undefined;
        return { buffer: upload(weight, size, data && stored(data, geometry.dtype), GPUBufferUsage.STORAGE), offset: 0, size };
      };
      const [first, ...others] = planned.map((portion): Portion => ({
        ...portion,
        stages: portion.plan.dispatches.map((dispatch) => ({
          dispatch, pipeline: compiled.get(dispatch.name)!,
          uniforms: upload(`${dispatch.kernel} uniforms`, dispatch.uniforms.byteLength, dispatch.uniforms, GPUBufferUsage.UNIFORM),
        })),
      }));
      const weights = {
        depthwiseFilter: bind('depthwiseFilter'), depthwiseBias: bind('depthwiseBias'),
        pointwiseFilter: bind('pointwiseFilter'), bias: bind('bias'),
      };
      const size = Math.max(...planned.map((portion) => portion.plan.byteLengths.intermediate));
      scratch = dispatches.length > 0 && planned[0].plan.strategy === 'two-pass' ? shared.scratch.acquire(size) : undefined;
      const intermediate = scratch ? { buffer: scratch, offset: 0, size } : weights.bias; // Unused by a fused kernel.
      return { portions: [first!, ...others], owned, scratch, bindings: { ...weights, intermediate } };
    });
    return new Convolution(shared, descriptor, geometry, parts);
  } catch (error) {
    for (const buffer of owned) buffer.destroy();
    if (scratch) shared.scratch.release(scratch);
    throw await shared.explain(op, error);
  }
}

type PlannedPortion = Omit<Portion, 'stages'>;

/** One portion where input and output each fit a buffer. All portions have the strategy and the preset of the first. */
function planPortions(
  geometry: Geometry, profile: DeviceProfile, { strategy, name }: ConvolutionDescriptor, choice?: Choice,
): [PlannedPortion, ...PlannedPortion[]] {
  const most = Math.floor(profile.limits.maxBufferSize / 16) * 16;
  const parts = bands(geometry, most, 'fused') ?? [{ geometry, inputStart: 0, outputStart: 0 }]; // The plan says what is too large.
  const wanted = choice?.strategy ?? strategy;
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
