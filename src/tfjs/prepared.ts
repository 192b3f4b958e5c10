import type { Convolution } from '../convolution.js';
import type { GpuTensor } from '../arguments/descriptor.js';
import { elements } from '../arguments/geometry.js';
import type { Gradients } from '../gradients.js';
import { PipelineManager } from '../manager.js';
import { LruMap } from '../gpu/lru-map.js';
import { type Call, perFilter } from './arguments.js';
import type { Filter } from './factors.js';

/** What a device keeps of this library between tfjs's calls. */

export interface Entry {
  /** Absent while it is being prepared, and where that failed. */
  convolution?: Convolution;
  readonly prepared: Promise<Convolution>;
}

/** Both passes for one geometry, on filters of their own: training gives filters new buffers at every step. */
export interface Training {
  readonly convolution: Convolution;
  readonly gradients: Gradients;
  readonly filters: Readonly<Partial<Record<Filter, GPUBuffer>>>;
}

export interface TrainingEntry {
  /** Absent while it is being prepared, and where that failed. */
  training?: Training;
  readonly prepared: Promise<Training>;
}

interface DeviceState {
  readonly manager: Promise<PipelineManager>;
  /** By geometry. */
  readonly trainings: LruMap<TrainingEntry>;
  /** By geometry and filter buffers. */
  readonly entries: LruMap<Entry>;
}

/** Convolutions that a device keeps, enough for several models. Each has small buffers; all share the intermediate. */
const MOST_ENTRIES = 256;
const states = new WeakMap<GPUDevice, DeviceState>();
const bufferNumbers = new WeakMap<GPUBuffer, number>();
let lastBufferNumber = 0;

function stateOf(device: GPUDevice): DeviceState {
  const known = states.get(device);
  if (known) return known;
  const state: DeviceState = {
    manager: PipelineManager.create({ device }),
    entries: new LruMap(MOST_ENTRIES, ({ prepared }) =>
      void prepared.then((convolution) => convolution.destroy(), () => undefined)),
    trainings: new LruMap(MOST_ENTRIES, ({ prepared }) => void prepared.then(destroyTraining, () => undefined)),
  };
  states.set(device, state);
  return state;
}

/** Resolves when all that was asked for so far on a device is prepared; rejects when any of it cannot be. */
export async function allPrepared(device: GPUDevice): Promise<void> {
  const { entries, trainings } = stateOf(device);
  await Promise.all([...entries.entries(), ...trainings.entries()].map(async ([, { prepared }]) => {
    await prepared;
  }));
}

/**
 * The convolution that reads exactly these filter buffers. It reads them at every run, so it stays right when tfjs
 * gives a buffer to another tensor. New weights in other buffers get another convolution.
 */
export function entryFor({ webgpu, geometry, descriptor, filters }: Call): Entry {
  const { manager, entries } = stateOf(webgpu.device);
  const numbers = Object.values(filters).map(({ buffer }) => bufferNumber(buffer));
  const key = JSON.stringify([...numbers, geometry]);
  const known = entries.get(key);
  if (known) return known;
  const entry: Entry = { prepared: manager.then((one) => one.prepare(descriptor)) };
  entry.prepared.then((convolution) => (entry.convolution = convolution), () => undefined); // `ready` reports it.
  entries.set(key, entry);
  return entry;
}

export function trainingFor({ webgpu: { device }, geometry, descriptor, filters: given }: Call): TrainingEntry {
  const { manager, trainings } = stateOf(device);
  const key = JSON.stringify(geometry);
  const known = trainings.get(key);
  if (known) return known;
  const entry: TrainingEntry = {
    prepared: manager.then(async (one) => {
      const filters = perFilter(geometry.passes, (filter) => device.createBuffer({
        label: 'sepconv-webgpu filter', size: Math.max(16, elements(given[filter]!.shape) * 4),
        usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST,
      }));
      const own = {
        ...descriptor, ...perFilter(geometry.passes, (filter): GpuTensor =>
          ({ shape: given[filter]!.shape, buffer: filters[filter]! })),
      };
      const [convolution, gradients] = await Promise.all([one.prepare(own), one.prepareGradients(own)]);
      return { convolution, gradients, filters };
    }),
  };
  entry.prepared.then((training) => (entry.training = training), () => undefined); // `ready` reports it.
  trainings.set(key, entry);
  return entry;
}

function destroyTraining({ convolution, gradients, filters }: Training): void {
  for (const one of [convolution, gradients, ...Object.values(filters)]) one.destroy();
}

function bufferNumber(buffer: GPUBuffer): number {
  const number = bufferNumbers.get(buffer) ?? ++lastBufferNumber;
  bufferNumbers.set(buffer, number);
  return number;
}
