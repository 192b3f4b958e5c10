import type { AdapterKind } from '../../src/kernels/profile.js';
import type { TuningTrial } from '../../src/contest.js';
import type { Outcome } from '../bench/measure.js';
import { percent } from '../bench/report.js';
import type { Ceilings } from '../bench/webgpu.js';
import type { Case } from '../cases.js';

/** What a check of a device comes to: plain JSON, kept in `test/bench/reports`, and what follows from it. */

/** Of the format. */
export const FORMAT = 1;

export interface CheckReport {
  readonly format: typeof FORMAT;
  /** Of this library; absent where other programs were timed. */
  readonly version?: string;
  /** In UTC: the day, or to the minute. */
  readonly date: string;
  /** The browser or runtime. */
  readonly environment: string;
  readonly device: DeviceFacts;
  /** What was drawn follows from it. */
  readonly seed?: number;
  readonly extent?: CheckExtent;
  /** That it was at work. */
  readonly seconds?: number;
  /** How often its page was hidden, or the machine asleep; what ran then ran again. */
  readonly interruptions?: number;
  /** Absent: to its end. */
  readonly ended?: 'stopped' | 'no device';
  /** What the figures are of, where it is not this library as it says of itself in `version`. */
  readonly from?: 'prototypes' | 'an earlier version';
  readonly notes?: readonly string[];
  readonly stages: readonly StageFacts[];
  readonly failures: readonly Failure[];
  /** Which clock told the times. */
  readonly clock?: 'device' | 'wall';
  readonly ceilings?: Ceilings;
  readonly rows: readonly TimedLayer[];
}

/** A few of everything, to see that the check works; as much as two minutes allow; every case by every preset. */
export type CheckExtent = 'short' | 'drawn' | 'all';

export interface DeviceFacts {
  /** Empty where the browser tells none. */
  readonly name: string;
  readonly kind: AdapterKind | 'unknown';
  readonly features: readonly string[];
  readonly limits: Readonly<Record<string, number>>;
}

/** Where none was to be had. */
export const NO_DEVICE: DeviceFacts = { name: '', kind: 'unknown', features: [], limits: {} };

/** Of one part of the check: how much of it was done. */
export interface StageFacts {
  readonly name: string;
  /** How many items there are, of which some were drawn. */
  readonly all?: number;
  readonly done: number;
  /** For want of time, or because the check ended before. */
  readonly left: number;
  readonly comparisons: number;
  /** The largest error as a share of its tolerance, and what was compared there: case, kernels, both values. */
  readonly worst: number;
  readonly worstOf?: string;
}

/** The kinds of failures. */
export const FAILURES =
  ['wrong', 'lost', 'hang', 'out-of-memory', 'validation', 'unsupported', 'refused', 'error'] as const;
export interface Failure {
  readonly kind: (typeof FAILURES)[number];
  /** What was being checked. */
  readonly title: string;
  readonly message: string;
}

/** What runs a layer: the library, as it chooses, as tuned, and by one strategy; and the simplest kernel. */
export const CONTENDERS = ['auto', 'tuned', 'fused', 'two-pass', 'naive'] as const;
export type ContenderName = (typeof CONTENDERS)[number];

/** A layer of the benchmark, with the times of those that ran it. */
export interface TimedLayer {
  readonly workload: string;
  readonly layer: Omit<Case, 'name'>;
  /** How often MobileNetV1 has it. */
  readonly layers: number;
  readonly operations: number;
  readonly leastBytes: number;
  readonly outcomes: Readonly<Partial<Record<ContenderName, Outcome>>>;
  /** What measured tuning tried, in the order of the model's preference. */
  readonly tried?: readonly TuningTrial[];
  /** Microseconds by the names of prototypes. */
  readonly prototypes?: Readonly<Record<string, number>>;
  /** Kinds of prototypes whose first variants were measured at a low clock: they tell nothing. */
  readonly lowClock?: readonly string[];
}

const millisecondsOf = ({ outcomes }: TimedLayer, contender: ContenderName): number =>
  outcomes[contender]?.timing?.median ?? NaN;

/** The least milliseconds that the ceilings allow. */
function leastOf({ operations, leastBytes }: TimedLayer, { gflops, gbytes }: Ceilings): number {
  return Math.max(operations / gflops, leastBytes / gbytes) / 1e6;
}

/** Those of the 13 layers that were timed at this batch, undefined unless all were. */
function mobileNet({ rows }: CheckReport, batch: number, contender: ContenderName): readonly TimedLayer[] | undefined {
  const timed = rows.filter((row) =>
    row.layers > 0 && row.layer.input[0] === batch && !Number.isNaN(millisecondsOf(row, contender)));
  return timed.reduce((sum, { layers }) => sum + layers, 0) === 13 ? timed : undefined;
}

const sumOf = (rows: readonly TimedLayer[], of: (row: TimedLayer) => number): number =>
  rows.reduce((sum, row) => sum + Math.max(1, row.layers) * of(row), 0);

/** Milliseconds of MobileNetV1's 13 layers one after the other; undefined unless all were timed. */
export function mobileNetTime(
  report: CheckReport, batch: number, contender: ContenderName = 'auto',
): number | undefined {
  const rows = mobileNet(report, batch, contender);
  return rows && sumOf(rows, (row) => millisecondsOf(row, contender));
}

/** The share of the ceilings that they reach as chosen: the least time that these allow, of the time that was taken. */
export function mobileNetShare(report: CheckReport, batch: number): number | undefined {
  const { ceilings } = report;
  const rows = mobileNet(report, batch, 'auto');
  return rows && ceilings && shareOf(rows, ceilings);
}

/** The same of any layers, those that come more often counting as often. */
export const shareOf = (rows: readonly TimedLayer[], ceilings: Ceilings): number =>
  sumOf(rows, (row) => leastOf(row, ceilings)) / sumOf(rows, (row) => millisecondsOf(row, 'auto'));

/** The layers that were timed as chosen by the model, and as tuned. */
const tunedOf = ({ rows }: CheckReport): readonly TimedLayer[] =>
  rows.filter((row) => !Number.isNaN(millisecondsOf(row, 'auto') + millisecondsOf(row, 'tuned')));

/** How many times as long the model's choice takes as the tuned one, over all of those. */
export function tuningGain(report: CheckReport): number | undefined {
  const both = tunedOf(report);
  if (both.length === 0) return undefined;
  const time = (row: TimedLayer): number => millisecondsOf(row, 'auto');
  return sumOf(both, time) / sumOf(both, (row) => time(row) / gainOf(row));
}

/**
 * Of a layer: 1 where tuning took the model's kernels. Else by what was tried, whose samples took turns; the two
 * contenders ran one after the other.
 */
function gainOf(row: TimedLayer): number {
  const { auto, tuned } = row.outcomes;
  if (auto?.detail !== undefined && auto.detail === tuned?.detail) return 1;
  const [own, best] = [triedTime(row, auto?.detail), triedTime(row, tuned?.detail)];
  return own !== undefined && best !== undefined ? own / best : auto!.timing!.median / tuned!.timing!.median;
}

/** Milliseconds of these kernels as tuning tried them. */
const triedTime = ({ tried = [] }: TimedLayer, detail = ''): number | undefined =>
  tried.find(({ kernels }) => kernels.join(' + ') === detail)?.milliseconds;

/** Where the model's choice was worst: how many times as long as the fastest that tuning tried it takes. */
export function worstChoice({ rows }: CheckReport): { readonly workload: string; readonly times: number } | undefined {
  const choices = rows.flatMap((row) => {
    const own = triedTime(row, row.outcomes.auto?.detail);
    const best = Math.min(...(row.tried ?? []).map(({ milliseconds }) => milliseconds));
    return own === undefined ? [] : [{ workload: row.workload, times: own / best }];
  });
  return choices.toSorted((a, b) => b.times - a.times)[0];
}

const times = (count: number): string => (count === 1 ? 'once' : `${count} times`);

/** As `1 case` or `2 cases`. */
export const counted = (count: number, what: string): string => `${count} ${what}${count === 1 ? '' : 's'}`;

/** What a device cannot do is no error of this library, nor that it was refused once. */
const isTrouble = ({ kind }: Failure): boolean => kind !== 'unsupported' && kind !== 'refused';

export const isWrong = ({ failures, ended }: CheckReport): boolean =>
  failures.some(isTrouble) || ended === 'no device';

/** Whether something was compared, all was right, and nothing ended it. */
export const isWhole = (report: CheckReport): boolean =>
  !isWrong(report) && report.ended === undefined && report.stages.some(({ comparisons }) => comparisons > 0);

/** Differences of times that are smaller may be none: on software adapters samples vary by 10 to 15 %. */
const NOISE = { gpu: 1.03, software: 1.15, unknown: 1 };

/** All of it in a sentence, and another one where some of it was not done. */
export function verdict(report: CheckReport): string {
  const { stages, failures, ceilings, ended, extent } = report;
  const timed = report.rows.filter((row) => !Number.isNaN(millisecondsOf(row, 'auto')));
  const parts = [rightness(report)];
  if (ceilings && timed.length > 0) {
    parts.push(`the layers run at ${percent(shareOf(timed, ceilings))} of what this device can do at best`);
  }
  parts.push(...tuning(report, timed.length));
  const left = stages.reduce((sum, stage) => sum + stage.left, 0);
  const countOf = (wanted: Failure['kind']): number => failures.filter(({ kind }) => kind === wanted).length;
  const [unsupported, refused] = [countOf('unsupported'), countOf('refused')];
  const more = [
    unsupported > 0 && `${counted(unsupported, 'case')} asked for more than this device has.`,
    refused > 0 && `A device was refused ${times(refused)}.`,
    ended === 'stopped' && 'It was stopped before its end.',
    !ended && left > 0 && `Time was too short for ${counted(left, 'case')}.`,
    extent === 'short' && 'It was a short check, of a few cases.',
  ];
  return [`${parts.join('; ')}.`, ...more.filter((one) => one !== false)].join(' ');
}

/** What it would gain, where some of so many timed layers were tuned. */
function tuning(report: CheckReport, timed: number): string[] {
  const gain = tuningGain(report);
  if (gain === undefined) return [];
  const tuned = tunedOf(report).length;
  const layers = counted(tuned, 'layer');
  const [them, where] = tuned === timed ? ['them', ''] : [`the ${layers} that it tried`, ` in ${layers}`];
  const factor = gain.toFixed(2);
  if (Number(factor) <= 1) return [`measured tuning would gain nothing${where}`];
  const noise = gain > NOISE[report.device.kind] ? '' : ', no more than times vary';
  return [`measured tuning would make ${them} ${factor} times as fast${noise}`];
}

function rightness({ failures, stages, ended }: CheckReport): string {
  const comparisons = stages.reduce((sum, stage) => sum + stage.comparisons, 0);
  const wrong = failures.filter(({ kind }) => kind === 'wrong').length;
  const troubles = failures.filter((failure) => isTrouble(failure) && failure.kind !== 'wrong').length;
  const also = troubles > 0 ? `; work failed ${times(troubles)}` : '';
  const then = ended === 'no device' ? '; then no device was to be had' : '';
  if (wrong > 0) {
    return `Wrong: ${wrong} of ${counted(comparisons, 'result')}, by more than rounding explains${also}${then}`;
  }
  if (then) return `No verdict: no device was to be had after ${counted(comparisons, 'comparison')}${also}`;
  if (comparisons === 0 && troubles === 0) return 'No verdict: nothing was compared';
  if (comparisons === 0) return `Not right: work failed ${times(troubles)}`;
  const exact = comparisons === 1 ? '1 result is as exact as it must be'
    : `${comparisons} results are as exact as they must be`;
  if (troubles > 0) return `Not right: ${exact}, but work failed ${times(troubles)}`;
  return comparisons === 1 ? `Right: ${exact}` : `Right: all ${exact}`;
}
