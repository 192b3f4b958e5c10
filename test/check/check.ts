import { requestDevice, VERSION } from '../../src/gpu/device.js';
import type { DeviceProfile } from '../../src/kernels/profile.js';
import { firstWorkload, withBatch, workloads } from '../bench/workloads.js';
import { type Extent, gradientItems, kernelItems, shuffled } from './items.js';
import { factsOf, type Lab, openLab } from './lab.js';
import { type CheckReport, CONTENDERS, type Failure, FORMAT } from './report.js';
import { type Progress, runStages, type Stage } from './run.js';
import { Times } from './times.js';

/** Proves and times the library on a device: runs in a page, or in a process that has `navigator.gpu`. */

export interface CheckSettings {
  /** Draws what is checked, and all values. */
  readonly seed: number;
  /** A few of everything: to see that it works. */
  readonly short?: boolean;
  /** Nothing is left out for time. */
  readonly unhurried?: boolean;
  /** Stops it. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: Progress) => void;
  readonly onFailure?: (failure: Failure) => void;
}

/**
 * Seconds of each part: together with its last item under two minutes on a GPU, about one on a software adapter. What
 * is drawn takes no longer by the weights of its items, at the pace of an H100 beside two busy cores.
 */
const SECONDS = { gpu: { kernels: 37, gradients: 7, times: 70 }, software: { kernels: 22, gradients: 7, times: 33 } };
const EXTENT: Readonly<Record<DeviceProfile['kind'] | 'short', Extent>> = {
  gpu: { pipelines: 400, gradients: 24 }, software: { pipelines: 80, gradients: 5 },
  short: { pipelines: 8, gradients: 1 },
};
/** Seconds that a case may take: a software adapter compiles its largest kernels in 7. */
const PATIENCE = { gpu: 20, software: 60 };
/** Layers that a software adapter runs by all contenders; the others by the chosen kernels and the naive one. */
const ALL_ON_SOFTWARE = 3;

/** @throws UnsupportedError without a device */
export async function checkDevice(settings: CheckSettings): Promise<CheckReport> {
  const { seed, signal = new AbortController().signal, short = false, unhurried = false } = settings;
  const start = performance.now();
  const first = await openLab(await requestDevice());
  const { profile } = first;
  const device = factsOf(first);
  const times = new Times();
  let unused: Lab | undefined = first;
  const stages = stagesFor(profile, seed, times, short)
    .map((stage) => (unhurried ? { ...stage, seconds: Infinity } : stage));
  const log = await runStages(stages, {
    patience: PATIENCE[profile.kind], signal,
    open: async () => {
      const lab = unused ?? await openLab(await requestDevice());
      unused = undefined;
      return lab;
    },
    onProgress: settings.onProgress ?? (() => undefined), onFailure: settings.onFailure ?? (() => undefined),
  });
  unused?.destroy();
  return {
    format: FORMAT, version: VERSION, date: `${new Date().toISOString().slice(0, 16)}Z`,
    environment: environment(), device, seed, seconds: Math.round((performance.now() - start) / 1000), ...log,
    ...(times.clock && { clock: times.clock }), ...(times.ceilings && { ceilings: times.ceilings }),
    rows: times.rows,
  };
}

type Work = Parameters<Times['items']>[0];

/** All that is done on a device, in its order. */
export function stagesFor(profile: DeviceProfile, seed: number, times: Times, short = false): readonly Stage[] {
  const { kind } = profile;
  const extent = EXTENT[short ? 'short' : kind];
  const { kernels, gradients, times: timesSeconds } = SECONDS[kind];
  return [
    { name: 'kernels', seconds: kernels, items: kernelItems(profile, seed, extent) },
    { name: 'gradients', seconds: gradients, items: gradientItems(profile, seed, extent) },
    { name: 'times', seconds: timesSeconds, items: times.items(workFor(kind, seed, short), kind) },
  ];
}

/** Which layers are timed by whom. */
function workFor(kind: DeviceProfile['kind'], seed: number, short: boolean): Work {
  if (short) return [{ workload: firstWorkload, names: ['auto', 'tuned', 'naive'] }];
  if (kind === 'gpu') {
    const batched = workloads.filter(({ input: [N] }) => N === 1).map((one) => withBatch(one, 32));
    return [...workloads, ...batched].map((workload) => ({ workload, names: CONTENDERS }));
  }
  const mobileNet = workloads.filter(({ layers }) => layers > 0);
  const complete = shuffled(mobileNet, seed).slice(0, ALL_ON_SOFTWARE);
  // What the verdict needs comes first, and last what takes longest.
  return [
    ...mobileNet.map((workload) => ({ workload, names: ['auto'] as const })),
    ...complete.map((workload) => ({ workload, names: ['tuned', 'fused', 'two-pass'] as const })),
    ...mobileNet.map((workload) => ({ workload, names: ['naive'] as const })),
  ];
}

/** Those that name others too, first. */
const BROWSERS = [
  [/CriOS\/([\d.]+)/, 'Chrome'], [/FxiOS\/([\d.]+)/, 'Firefox'], // On iOS, where all are Safari inside.
  [/Edg\w*\/([\d.]+)/, 'Edge'], [/OPR\/([\d.]+)/, 'Opera'], [/SamsungBrowser\/([\d.]+)/, 'Samsung Internet'],
  [/Firefox\/([\d.]+)/, 'Firefox'], [/Chrome\/([\d.]+)/, 'Chrome'], [/Version\/([\d.]+).*Safari/, 'Safari'],
  [/Deno\/([\d.]+)/, 'Deno'], [/Node\.js\/(\d+)/, 'Node'],
] as const;

/** The browser's or runtime's name and version, with its system, from what it says of itself. */
function environment(): string {
  const { userAgent = '' } = navigator as Partial<Navigator>;
  const [name, version] = BROWSERS.flatMap(([pattern, known]) => {
    const found = pattern.exec(userAgent);
    return found ? [known, found[1]!] : [];
  });
  const system = /\(([^)]*)\)/.exec(userAgent)?.[1];
  return [name ? `${name} ${version}` : userAgent || 'unknown', system && `(${system})`].filter(Boolean).join(' ');
}
