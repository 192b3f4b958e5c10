import { adapterName } from '../src/gpu/device.js';
import { PipelineManager, profileOf } from '../src/manager.js';
import { PipelineCache } from '../src/gpu/pipelines.js';
import type { AdapterKind, DeviceProfile } from '../src/kernels/profile.js';
import type { PresetName } from '../src/plan/presets.js';
import { checkArguments } from './arguments.js';
import type { Case } from './cases.js';
import type { CheckSettings } from './check/check.js';
import type { CheckReport } from './check/report.js';
import type { Report } from './compare.js';
import { checkGradientSteps } from './gradient-checks.js';
import { gradientScenarios } from './gradient-scenarios.js';
import { checkKernelSteps } from './kernel-checks.js';
import { reportNonFinite } from './nonfinite.js';
import { runScenario } from './scenarios.js';

/**
 * What the tests ask of a GPU, many cases a call: runs in a browser's page, or in a process that has `navigator.gpu`.
 */

const manager = await PipelineManager.create();
const { device } = manager;
const pipelines = new PipelineCache(device);
const uncaptured: string[] = [];
device.addEventListener('uncapturederror', ({ error }) => uncaptured.push(error.message));

/**
 * Runs each case with each preset's kernels, fused and in two passes, and compares every stage with its reference. Left
 * out are the presets whose kernels need a feature that the device lacks.
 */
export async function checkKernels(
  cases: readonly Case[], presets: readonly PresetName[], seed: number, limits: Partial<GPUSupportedLimits> = {},
): Promise<Report[]> {
  const profile = profileWith(limits, manager.adapterKind);
  const runnable = presets.filter((name) => profile.subgroups || !/quad/i.test(name));
  const reports: Report[] = [];
  for (let start = 0; start < cases.length; start += 50) {
    const batch = cases.slice(start, start + 50);
    reports.push(...(await checkKernelSteps(device, pipelines, profile, batch, runnable, seed + start)));
  }
  return [...reports, ...uncaptured.splice(0).map((failure) => ({ title: 'uncaptured GPU error', failure }))];
}

function profileWith(limits: Partial<GPUSupportedLimits>, kind: AdapterKind): DeviceProfile {
  const own = profileOf(device, kind);
  return { ...own, limits: { ...own.limits, ...limits } };
}

/** Runs all steps of each case's backward pass, and compares every one with its reference. */
export async function checkGradients(
  cases: readonly Case[], presets: readonly PresetName[], seed: number, limits: Partial<GPUSupportedLimits> = {},
): Promise<Report[]> {
  const reports: Report[] = [];
  for (let start = 0; start < cases.length; start += 50) {
    const batch = cases.slice(start, start + 50);
    const profile = profileWith(limits, manager.adapterKind);
    reports.push(...(await checkGradientSteps(device, pipelines, profile, batch, presets, seed + start)));
  }
  return [...reports, ...uncaptured.splice(0).map((failure) => ({ title: 'uncaptured GPU error', failure }))];
}

/** Which presets the library itself would take, and what there is to know of the device. */
export interface Environment {
  readonly adapter: string;
  readonly adapterKind: string;
  readonly features: readonly string[];
}

export function environment(): Environment {
  return { adapter: adapterName(device), adapterKind: manager.adapterKind, features: [...device.features].sort() };
}

/** The check of a device, as the demo's page has it. */
async function checkDevice(
  settings: Pick<CheckSettings, 'seed' | 'extent' | 'unhurried'>,
): Promise<CheckReport> {
  const check = await import('./check/check.js');
  return check.checkDevice(settings);
}

export const tests = {
  checkArguments, checkDevice, checkKernels, checkGradients, environment, reportNonFinite,
  runScenario: (name: string, seed: number): Promise<void> => runScenario(name, seed, gradientScenarios),
};
export type Tests = typeof tests;

declare global {
  interface Window { tests: Tests }
}
Object.assign(globalThis, { tests });
