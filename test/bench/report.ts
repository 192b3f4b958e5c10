import { LOW } from './canary.js';
import type { Outcome, Row, Timing } from './measure.js';
import type { Ceilings } from './webgpu.js';

/** From loading a contender's code to its first result in a fresh browser, and what it downloads for that. */
export interface First { readonly timing?: Timing; readonly gzippedBytes?: number; readonly failure?: string }

export interface Results {
  readonly date: string;
  /** The browser or runtime, and its adapter. */
  readonly environment: string;
  readonly samples: number;
  readonly ceilings: Ceilings;
  readonly contenders: readonly string[];
  readonly rows: readonly Row[];
  readonly first?: Readonly<Record<string, First>>;
}

/** A whole network by this library and by another. */
export interface NetworkRow {
  readonly network: string;
  readonly photo: string;
  /** What both found. */
  readonly same: string;
  readonly peer: string;
  readonly ours: Timing;
  readonly theirs: Timing;
}

export interface NetworkResults extends Pick<Results, 'date' | 'environment' | 'samples'> {
  readonly rows: readonly NetworkRow[];
}

/** The one that the others are compared with. */
const OURS = 'auto';

export function report(results: Results): string {
  const { ceilings: { gflops, gbytes, emptyDispatch } } = results;
  return [
    `${results.environment}; ${results.date}; ${results.samples} interleaved samples.`,
    `Ceilings: ${gflops.toFixed(1)} GFLOP/s multiply-add in registers, ${gbytes.toFixed(2)} GB/s copy. `
      + `An empty dispatch takes ${microseconds(emptyDispatch)}.`,
    '', '### Milliseconds: median ± half the interquartile range', '', ...times(results), ...lowClocks(results),
    ...(results.contenders.some((name) => name !== OURS)
      ? ['', `### Times as long as ours (${OURS})`, '', ...ratios(results)]
      : []),
    '', `### Ours (${OURS}): throughput and its share of the ceilings`, '', ...shares(results),
    ...(results.first ? ['', '### First result in a fresh browser, 28x28 32->64', '', ...firsts(results.first)] : []),
    ...failures(results),
  ].join('\n');
}

/** The backward pass, by this library and by tfjs. */
export const reportGradients = (results: Results): string => reportOf('Backward pass, milliseconds', results);

/** Blocks of mobile networks, by this library and by others. */
export const reportBlocks = (results: Results): string => reportOf('Milliseconds', results);

/** Times, beside those of the first contender. */
function reportOf(what: string, results: Results): string {
  return [
    `${results.environment}; ${results.date}; ${results.samples} interleaved samples.`,
    '', `### ${what}: median ± half the interquartile range`, '', ...times(results),
    '', '### Times as long as ours', '', ...ratios(results, results.contenders[0]), ...failures(results),
  ].join('\n');
}

export function reportNetworks({ environment, date, samples, rows }: NetworkResults): string {
  return [
    `${environment}; ${date}; ${samples} interleaved samples.`, '', '### Milliseconds of a whole network', '',
    ...markdown(
      ['Network', 'Photo', 'Both found', 'ours, ms', 'theirs, ms', 'times as long as ours', 'they'],
      rows.map(({ network, photo, same, peer, ours, theirs }) => [
        network, photo, same, milliseconds({ timing: ours }), milliseconds({ timing: theirs }),
        (theirs.median / ours.median).toFixed(1), peer,
      ])),
  ].join('\n');
}

function times({ contenders, rows }: Results): string[] {
  const layers = rows.map(({ workload, outcomes }) =>
    [workload, ...contenders.map((name) => milliseconds(outcomes[name]))]);
  const sums = contenders.map((name) => mobileNet(rows, name));
  if (sums.every((sum) => sum === undefined)) return markdown(['Layer', ...contenders], layers);
  const total = sums.map((sum) => (sum === undefined ? '—' : `**${figure(sum)}**`));
  return markdown(['Layer', ...contenders], [...layers, ['**MobileNetV1, 13 layers**', ...total]]);
}

/** What the mark of `milliseconds` means, where there is one. */
function lowClocks({ rows, ceilings: { emptyDispatch } }: Results): string[] {
  const marked = rows.some(({ outcomes }) => Object.values(outcomes).some(({ timing }) => timing?.lowClock));
  return marked
    ? ['', '↓: so many of the samples were taken at a low clock. An empty dispatch just before took more than '
      + `${LOW} times the ${microseconds(emptyDispatch)} that it can.`]
    : [];
}

function ratios({ contenders, rows }: Results, own = OURS): string[] {
  const others = contenders.filter((name) => name !== own);
  const ratio = (row: Row, name: string): number | undefined => {
    const [mine, other] = [own, name].map((one) => row.outcomes[one]?.timing?.median);
    return mine !== undefined && other !== undefined ? other / mine : undefined;
  };
  const cell = (value: number | undefined): string => (value === undefined ? '—' : value.toFixed(2));
  return markdown(['Layer', ...others], [
    ...rows.map((row) => [row.workload, ...others.map((name) => cell(ratio(row, name)))]),
    ['**Geometric mean**', ...others.map((name) => `**${cell(geometricMean(rows.map((row) => ratio(row, name))))}**`)],
  ]);
}

function shares({ rows, ceilings }: Results): string[] {
  return markdown(['Layer', 'GFLOP/s', 'of peak', 'GB/s', 'of copy', 'kernels'], rows.flatMap((row) => {
    const { timing, detail = '' } = row.outcomes[OURS] ?? {};
    if (!timing) return [];
    const [gflops, gbytes] = [row.operations, row.leastBytes].map((count) =>
      count / timing.median / 1e6) as [number, number];
    return [
      [row.workload, gflops.toFixed(1), percent(gflops / ceilings.gflops),
        gbytes.toFixed(2), percent(gbytes / ceilings.gbytes), `\`${detail}\``],
    ];
  }));
}

const firsts = (first: Readonly<Record<string, First>>): string[] =>
  markdown(['', 'ms', 'download, gzipped'], Object.entries(first).map(([name, { timing, gzippedBytes }]) =>
    [name, milliseconds(timing && { timing }),
      gzippedBytes === undefined ? '—' : `${(gzippedBytes / 1000).toFixed(1)} kB`]));

/** One line for each contender and reason, with the layers. */
function failures({ contenders, rows, first = {} }: Results): string[] {
  const reasons = new Map<string, string[]>();
  for (const name of contenders) {
    for (const { workload, outcomes } of rows) {
      const failure = outcomes[name]?.failure;
      if (failure === undefined) continue;
      const reason = `${name}: ${failure}`;
      reasons.set(reason, [...(reasons.get(reason) ?? []), workload]);
    }
    if (first[name]?.failure !== undefined) reasons.set(`${name}: ${first[name].failure}`, ['first result']);
  }
  if (reasons.size === 0) return [];
  return ['', '### Failed', '', ...[...reasons].map(([reason, where]) =>
    `- ${reason} (${where.length === rows.length && rows.length > 1 ? 'all layers' : where.join('; ')})`)];
}

/** The 13 layers one after the other; undefined unless all were timed. */
function mobileNet(rows: readonly Row[], name: string): number | undefined {
  const layers = rows.filter(({ layers }) => layers > 0);
  if (layers.reduce((sum, row) => sum + row.layers, 0) !== 13) return undefined;
  const sum = layers.reduce((all, row) => all + row.layers * (row.outcomes[name]?.timing?.median ?? NaN), 0);
  return Number.isNaN(sum) ? undefined : sum;
}

function geometricMean(values: readonly (number | undefined)[]): number | undefined {
  const known = values.filter((value) => value !== undefined);
  return known.length === 0
    ? undefined
    : Math.exp(known.reduce((sum, value) => sum + Math.log(value), 0) / known.length);
}

function milliseconds({ timing, failure }: Outcome = {}): string {
  if (!timing) return failure === undefined ? '—' : 'failed';
  const spread = (timing.upper - timing.lower) / 2 / timing.median;
  const mark = timing.lowClock ? ` ↓${timing.lowClock}` : '';
  return `${figure(timing.median)} ±${percent(spread)}${mark}`;
}

/** Three significant digits, not fewer than the whole number has. */
export const figure = (value: number): string => (value >= 100 ? value.toFixed(0) : value.toPrecision(3));
export const microseconds = (milliseconds: number): string => `${figure(1000 * milliseconds)} µs`;
export const percent = (share: number): string => `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} %`;

export function markdown(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), line(head.map((_, column) => (column === 0 ? '---' : '--:'))), ...rows.map(line)];
}
