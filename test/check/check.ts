import { requestDevice, VERSION } from '../../src/gpu/device.js';
import type { DeviceProfile } from '../../src/kernels/profile.js';
import { firstWorkload, withBatch, workloads } from '../bench/workloads.js';
import { countOfKernelItems, type Drawn, gradientItems, kernelItems, shuffled } from './items.js';
import { gradientCases } from '../cases.js';
import { factsOf, openLab } from './lab.js';
import { type CheckExtent, type CheckReport, CONTENDERS, type Failure, FORMAT, NO_DEVICE } from './report.js';
import { type Item, type Progress, runStages, type Stage } from './run.js';
import { Times } from './times.js';

/** Proves and times the library on a device: runs in a page, or in a process that has `navigator.gpu`. */

export interface CheckSettings {
  /** Draws what is checked, and all values. */
  readonly seed: number;
  readonly extent?: CheckExtent;
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
const DRAWN = { gpu: { pipelines: 400, gradients: 24 }, software: { pipelines: 80, gradients: 5 } };
const SHORT: Drawn = { pipelines: 8, gradients: 1 };
const ALL: Drawn = { pipelines: Infinity, gradients: Infinity };
/** Seconds that a case may take: a software adapter compiles its largest kernels in 7. */
const PATIENCE = { gpu: 20, software: 60 };
/** Layers that a software adapter runs by all contenders; the others by the chosen kernels and the naive one. */
const ALL_ON_SOFTWARE = 3;

/** Whatever fails is a failure of the report. */
export async function checkDevice(settings: CheckSettings): Promise<CheckReport> {
  const { seed, extent = 'drawn', signal = new AbortController().signal, unhurried = false } = settings;
  const times = new Times();
  let device = NO_DEVICE;
  const log = await runStages((lab) => {
    device = factsOf(lab);
    return stagesFor(lab.profile, seed, times, extent)
      .map((stage) => (unhurried ? { ...stage, seconds: Infinity } : stage));
  }, {
    signal, open: async () => openLab(await requestDevice()),
    onProgress: settings.onProgress ?? (() => undefined), onFailure: settings.onFailure ?? (() => undefined),
  });
  return {
    format: FORMAT, version: VERSION, date: `${new Date().toISOString().slice(0, 16)}Z`,
    environment: environment(), device, seed, extent, ...log,
    ...(times.clock && { clock: times.clock }), ...(times.ceilings && { ceilings: times.ceilings }),
    rows: times.rows,
  };
}

type Work = Parameters<Times['items']>[0];

/** All that is done on a device, in its order. */
export function stagesFor(
  profile: DeviceProfile, seed: number, times: Times, extent: CheckExtent = 'drawn',
): readonly Stage[] {
  const { kind } = profile;
  const drawn = { short: SHORT, drawn: DRAWN[kind], all: ALL }[extent];
  const stage = (name: keyof typeof SECONDS.gpu, items: readonly Item[], all: number): Stage =>
    ({ name, items, all, seconds: extent === 'all' ? Infinity : SECONDS[kind][name], patience: PATIENCE[kind] });
  const timed = times.items(workFor(kind, seed, extent === 'short'), kind);
  return [
    stage('kernels', kernelItems(profile, seed, drawn), countOfKernelItems(profile)),
    stage('gradients', gradientItems(profile, seed, drawn), gradientCases.length),
    stage('times', timed, timed.length),
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
