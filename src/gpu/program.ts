import type { Call, Weight, WeightSource } from '../arguments/call.js';
import { loaded, mustBe, ValueError } from '../arguments/errors.js';
import type { ResultArray } from '../arguments/geometry.js';
import { FILTER_FORMAT, uniformsOf } from '../kernels/kernel.js';
import type { DeviceProfile } from '../kernels/profile.js';
import { byteLengthOf, type Columns, type Place, type Plan, type Range, type Step, type Use } from '../plan/steps.js';
import { type Binding, checkApart, keyOf, resolveBinding } from './bindings.js';
import type { BufferPool, Memory, Scratch } from './buffers.js';
import { checked, scoped } from './device.js';
import { BUFFER, MAP_READ, TEXTURE } from './flags.js';
import type { PipelineCache } from './pipelines.js';
import { LruMap } from './lru-map.js';

/** What the programs of one manager share. */
export interface Shared {
  readonly device: GPUDevice;
  readonly profile: DeviceProfile;
  readonly pipelines: PipelineCache;
  readonly buffers: BufferPool;
  readonly scratch: Scratch;
  /** @throws DeviceLostError or SepconvError when the manager can work no more */
  readonly checkUsable: (where: string) => void;
  /** The error to throw instead of one that the loss of the device may have caused. */
  readonly explain: (where: string, error: unknown) => Promise<unknown>;
  /** Called once when a convolution, or what computes its gradients, is destroyed. */
  readonly forget: (prepared: { destroy(): void }) => void;
}

/** Converts what is stored as float16: a file of its own, for those who need it. */
const loadHalf = () => loaded('float16.js', () => import('./float16.js'));
type Half = Awaited<ReturnType<typeof loadHalf>>;

type Resource = Binding | GPUTextureView | GPUSampler;

/** A dispatch with its pipeline and bind group. */
interface Bound {
  readonly pipeline: GPUComputePipeline;
  readonly group: GPUBindGroup;
  readonly grid: Step['dispatch']['grid'];
}

/** For how many sets of the caller's buffers bind groups are kept: callers may alternate between a few. */
const MOST_BOUND = 4;

/**
 * Plans on a device, ready to run: uploads, binds, records, reads back, destroys. All plans share weights and scratch
 * memory.
 */
export class Program {
  readonly #shared: Shared;
  readonly #op: string;
  readonly #label: string;
  readonly #half: Half | undefined;
  readonly #plans: readonly Plan[];
  readonly #pipelines: ReadonlyMap<string, GPUComputePipeline>;
  readonly #uniforms = new Map<Step, GPUBuffer>();
  /** The weights that are in the caller's buffers. */
  readonly #borrowed: ReadonlyMap<string, Binding>;
  /** What this program has in memory, by value. */
  readonly #own = new Map<string, Resource>();
  readonly #owned: (GPUBuffer | GPUTexture)[] = [];
  readonly #scratch: Memory[] = [];
  readonly #bound = new LruMap<readonly Bound[]>(MOST_BOUND);

  /** Compiles, uploads, and runs the steps that run once. @throws ValueError, UnsupportedError, DeviceLostError */
  static async create(shared: Shared, call: Call, label: string, plans: readonly Plan[]): Promise<Program> {
    const { op } = call;
    shared.checkUsable(op);
    const borrowed = borrowedWeights(shared.device, call, plans);
    let program: Program | undefined;
    try {
      const steps = plans.flatMap((plan) => plan.steps);
      const pipelines = new Map(await Promise.all(steps.map(async ({ dispatch }) =>
        [dispatch.name, await shared.pipelines.pipeline(dispatch)] as const)));
      const uniforms = new Map(await Promise.all(steps.map(async (step) =>
        [step, await uniformsOf(step.dispatch)] as const)));
      const half = call.geometry.dtype === 'f16' ? await loadHalf() : undefined;
      shared.checkUsable(op);
      program = new Program(shared, op, label, plans, pipelines, borrowed, half);
      const made = program;
      const { sound } = scoped(shared.device, op, () => made.#fill(call.weights, uniforms));
      for (const each of [...made.#scratch.map((memory) => memory.sound), sound]) await each;
      shared.checkUsable(op);
      return made;
    } catch (error) {
      program?.destroy();
      throw await shared.explain(op, error);
    }
  }

  private constructor(
    shared: Shared, op: string, label: string, plans: readonly Plan[],
    pipelines: ReadonlyMap<string, GPUComputePipeline>, borrowed: ReadonlyMap<string, Binding>, half: Half | undefined,
  ) {
    this.#shared = shared;
    this.#op = op;
    this.#label = label;
    this.#half = half;
    this.#plans = plans;
    this.#pipelines = pipelines;
    this.#borrowed = borrowed;
  }

  /**
   * Records steps of a plan into the caller's compute pass. Never submits, allocates buffers or waits. No step may
   * overwrite a `lasting` target, even after its last use.
   * @throws ValueError for what is no compute pass, and for targets that steps cannot write without destroying what is
   * still read
   */
  encode(
    pass: GPUComputePassEncoder, targets: ReadonlyMap<string, Binding>, index: number, choose: () => readonly Step[],
    lasting: readonly string[] = [],
  ): void {
    if (typeof (pass as Partial<GPUComputePassEncoder> | undefined)?.dispatchWorkgroups !== 'function') {
      throw mustBe(`${this.#op}: pass`, 'a GPUComputePassEncoder', pass);
    }
    const key = `${index} ${keyOf(targets)}`;
    let bound = this.#bound.get(key);
    if (!bound) {
      const steps = choose();
      const isLasting = (value: string): boolean => this.#borrowed.has(value) || lasting.includes(value);
      checkApart(this.#op, steps, new Map([...this.#borrowed, ...targets]), isLasting);
      bound = steps.map((step) => this.#bind(step, targets));
      this.#bound.set(key, bound);
    }
    if (bound.length === 0) return;
    pass.pushDebugGroup(this.#label);
    record(pass, bound);
    pass.popDebugGroup();
  }

  /**
   * Uploads inputs, runs steps of a plan, and reads back outputs, of so many elements each. Runs may overlap.
   * @throws DeviceLostError
   */
  async run<Output extends string>(
    inputs: ReadonlyMap<string, Float32Array>, outputs: ReadonlyMap<Output, number>, index: number,
    choose: () => readonly Step[],
  ): Promise<ReadonlyMap<Output, ResultArray>> {
    const { device, buffers } = this.#shared;
    const { places } = this.#plans[index]!;
    const held: GPUBuffer[] = [];
    const hold = (what: string, byteLength: number, usage: number): Binding => {
      const buffer = buffers.acquire(byteLength, usage, `${this.#op} ${what}`);
      held.push(buffer);
      return { buffer, offset: 0, size: byteLength };
    };
    const results = [...outputs].map(([value, count]) =>
      ({ value, count, byteLength: byteLengthOf(places.get(value)!) }));
    const total = results.reduce((sum, { byteLength }) => sum + byteLength, 0);
    try {
      let mapped: Promise<undefined> | undefined;
      const readable = await checked(device, this.#op, () => {
        const targets = new Map<string, Binding>();
        for (const [value, data] of inputs) {
          const byteLength = byteLengthOf(places.get(value)!);
          if (byteLength === 0) continue;
          const target = hold(value, byteLength, BUFFER.STORAGE | BUFFER.COPY_DST);
          device.queue.writeBuffer(target.buffer, 0, stored(data, this.#half));
          targets.set(value, target);
        }
        for (const { value, byteLength } of results) {
          targets.set(value, hold(value, byteLength, BUFFER.STORAGE | BUFFER.COPY_SRC));
        }
        const { buffer } = hold('readback', total, BUFFER.MAP_READ | BUFFER.COPY_DST);
        const encoder = device.createCommandEncoder({ label: this.#op });
        const pass = encoder.beginComputePass({ label: this.#op });
        this.encode(pass, targets, index, choose);
        pass.end();
        let offset = 0;
        for (const { value, byteLength } of results) {
          encoder.copyBufferToBuffer(targets.get(value)!.buffer, 0, buffer, offset, byteLength);
          offset += byteLength;
        }
        device.queue.submit([encoder.finish({ label: this.#op })]);
        mapped = buffer.mapAsync(MAP_READ, 0, total);
        mapped.catch(() => undefined); // Reported below, after the scopes, whose errors say more.
        return buffer;
      });
      await mapped;
      const bytes = readable.getMappedRange(0, total);
      let offset = 0;
      const data = results.map(({ value, count, byteLength }) => {
        const copy = bytes.slice(offset, offset += byteLength);
        return [value, this.#half?.fromFloat16(copy, count) ?? new Float32Array(copy)] as const;
      });
      readable.unmap();
      for (const buffer of held) buffers.release(buffer);
      return new Map(data);
    } catch (error) {
      for (const buffer of held) buffer.destroy();
      throw await this.#shared.explain(this.#op, error);
    }
  }

  /** Frees what `create` made. */
  destroy(): void {
    this.#bound.clear();
    for (const resource of this.#owned.splice(0)) resource.destroy();
    for (const memory of this.#scratch.splice(0)) this.#shared.scratch.release(memory);
  }

  /** Puts all that the steps use into memory, except what comes with each run. */
  #fill(weights: ReadonlyMap<Weight, WeightSource>, uniforms: ReadonlyMap<Step, ArrayBuffer>): void {
    const steps = this.#plans.flatMap((plan) => plan.steps);
    for (const [value, place] of usedPlaces(this.#plans)) {
      if (this.#borrowed.has(value)) continue;
      const resource = this.#place(value, place, weights);
      if (resource) this.#own.set(value, resource);
    }
    for (const [step, data] of uniforms) {
      this.#uniforms.set(step, this.#upload(`${step.dispatch.kernel} uniforms`, data, BUFFER.UNIFORM));
    }
    this.#runOnce(steps.filter(({ once }) => once));
  }

  /** Runs the steps that run once, and destroys the uploads that no other step reads. */
  #runOnce(steps: readonly Step[]): void {
    if (steps.length === 0) return;
    const { device } = this.#shared;
    const encoder = device.createCommandEncoder({ label: this.#op });
    const pass = encoder.beginComputePass({ label: this.#op });
    record(pass, steps.map((step) => this.#bind(step, new Map())));
    pass.end();
    device.queue.submit([encoder.finish({ label: this.#op })]);
    const laterReads = this.#plans.flatMap((plan) => plan.steps).filter(({ once }) => !once)
      .flatMap(({ reads }) => reads.map(({ value }) => value));
    const read = new Set(laterReads);
    for (const value of new Set(steps.flatMap(({ reads }) => reads.map((use) => use.value)))) {
      if (!read.has(value)) (this.#own.get(value) as Binding).buffer.destroy();
    }
  }

  #place(value: string, place: Place, weights: ReadonlyMap<Weight, WeightSource>): Resource | undefined {
    const { device, pipelines, scratch } = this.#shared;
    switch (place.kind) {
      case 'caller': return undefined;
      case 'sampler': return pipelines.nearest;
      case 'zeros': case 'ones': {
        const content = place.kind === 'ones' ? new Float32Array(place.byteLength / 4).fill(1) : place.byteLength;
        const buffer = this.#upload(value, content, BUFFER.STORAGE);
        return { buffer, offset: 0, size: place.byteLength };
      }
      case 'weight': {
        const data = weightData(this.#op, place, weights.get(place.weight));
        const buffer = this.#upload(value, data ? stored(data, this.#half) : place.byteLength, BUFFER.STORAGE);
        return { buffer, offset: 0, size: place.byteLength };
      }
      case 'scratch': {
        const memory = scratch.acquire(this.#op, place.byteLength, value);
        this.#scratch.push(memory);
        return { buffer: memory.buffer, offset: 0, size: place.byteLength };
      }
      case 'texture': {
        const texture = device.createTexture({
          label: `${this.#op} ${value}`, size: [Math.ceil(place.columns / 4), place.rows], format: FILTER_FORMAT,
          usage: TEXTURE.STORAGE_BINDING | TEXTURE.TEXTURE_BINDING,
        });
        this.#owned.push(texture);
        return texture.createView();
      }
    }
  }

  /** A buffer with contents, or so many bytes of zeros. */
  #upload(
    what: string, data: ArrayBuffer | ArrayBufferView<ArrayBuffer> | number, usage: GPUBufferUsageFlags,
  ): GPUBuffer {
    const byteLength = typeof data === 'number' ? data : data.byteLength;
    const buffer = this.#shared.device.createBuffer({
      label: `${this.#op} ${what}`, size: Math.max(16, Math.ceil(byteLength / 16) * 16), usage: usage | BUFFER.COPY_DST,
    });
    this.#owned.push(buffer);
    if (typeof data !== 'number') this.#shared.device.queue.writeBuffer(buffer, 0, data);
    return buffer;
  }

  #bind(step: Step, targets: ReadonlyMap<string, Binding>): Bound {
    const { dispatch: { name, bindings, grid }, reads, writes } = step;
    const resource = ({ value, range }: Use): Resource => {
      const whole = targets.get(value) ?? this.#borrowed.get(value) ?? this.#own.get(value)!;
      return range ? within(whole as Binding, range) : whole;
    };
    const buffer = this.#uniforms.get(step)!;
    const uniforms = { buffer, offset: 0, size: buffer.size };
    const group = this.#shared.device.createBindGroup({
      label: `${this.#op} ${name}`,
      layout: this.#shared.pipelines.layout(bindings),
      entries: [uniforms, ...[...reads, writes].map(resource)].map((entry, binding) => ({ binding, resource: entry })),
    });
    return { pipeline: this.#pipelines.get(name)!, group, grid };
  }
}

function record(pass: GPUComputePassEncoder, bound: readonly Bound[]): void {
  for (const { pipeline, group, grid } of bound) {
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(...grid);
  }
}

const within = ({ buffer, offset }: Binding, range: Range): Binding =>
  ({ buffer, offset: offset + range.offset, size: range.size });

/** The values that steps use; of each value in scratch memory, its largest size. */
function usedPlaces(plans: readonly Plan[]): ReadonlyMap<string, Place> {
  const used = new Map<string, Place>();
  for (const { steps, places } of plans) {
    for (const { value } of steps.flatMap(({ reads, writes }) => [...reads, writes])) {
      const place = places.get(value)!;
      if (byteLengthOf(place) >= byteLengthOf(used.get(value) ?? place)) used.set(value, place);
    }
  }
  return used;
}

/** The weights that are in the caller's buffers. @throws ValueError */
function borrowedWeights(
  device: GPUDevice, { op, weights }: Call, plans: readonly Plan[],
): ReadonlyMap<string, Binding> {
  const borrowed = new Map<string, Binding>();
  for (const [weight, source] of weights) {
    const place = plans[0]!.places.get(weight);
    if (source.kind === 'data' || !place) continue;
    const { buffer, offset } = source.tensor;
    const target = { buffer, offset: offset ?? 0 };
    borrowed.set(weight, resolveBinding(device, `${op}: ${weight}`, target, byteLengthOf(place)));
  }
  return borrowed;
}

/**
 * The numbers of a weight that is on the CPU; none for an absent bias.
 * @throws ValueError for data that was detached or resized meanwhile
 */
function weightData(
  op: string, { weight, columns }: Place & { readonly kind: 'weight' }, source: WeightSource | undefined,
): Float32Array | undefined {
  if (source?.kind !== 'data') return undefined;
  const { data, length } = source;
  if (data.length !== length) {
    throw new ValueError(
      `${op}: ${weight} must keep its data until prepare resolves, got ${data.length} elements of ${length}`
    );
  }
  return columns ? columnsOf(data, columns) : data;
}

/** Some columns of a matrix of rows of `total`. */
function columnsOf(matrix: Float32Array, { offset, size, total }: Columns): Float32Array {
  const rows = matrix.length / total;
  const part = new Float32Array(rows * size);
  for (let row = 0; row < rows; row++) {
    part.set(matrix.subarray(row * total + offset, row * total + offset + size), row * size);
  }
  return part;
}

/**
 * Numbers as the GPU stores them, in memory that `writeBuffer` takes everywhere: shared and resizable memory is copied.
 */
function stored(data: Float32Array, half: Half | undefined): ArrayBufferView<ArrayBuffer> {
  if (half) return half.toFloat16(data);
  const { buffer } = data;
  const plain = Object.prototype.toString.call(buffer) === '[object ArrayBuffer]'
    && !(buffer as { resizable?: boolean }).resizable;
  return plain ? data as Float32Array<ArrayBuffer> : new Float32Array(data);
}
