import type { Outcome } from '../bench/measure.js';
import { figure, markdown, microseconds, percent } from '../bench/report.js';
import { shareText } from '../compare.js';
import { type CheckReport, mobileNetShare, mobileNetTime, shareOf, SMALLER, verdict } from './report.js';

/** A report for people. */

export function markdownOf(report: CheckReport): string {
  const { device, environment, date, version, seed, seconds, notes = [] } = report;
  const when = date.replace('T', ' ').replace('Z', ' UTC');
  const from = [
    environment, when, version && `sepconv-webgpu ${version}`, seed !== undefined && `seed ${seed}`,
    seconds !== undefined && `${seconds} s`,
  ].filter(Boolean).join('; ');
  return [
    `## ${nameOf(report)}`, '', `**${verdict(report)}**`, '', `${from}.`,
    ...[...smaller(report), ...notes].flatMap((note) => ['', note]), '',
    ...checked(report), ...times(report), ...failed(report), '', '### Device', '',
    `- Kind: ${device.kind}`, `- Features: ${device.features.join(', ') || 'none'}`,
    '', '<details><summary>Limits</summary>', '',
    ...Object.entries(device.limits).map(([name, value]) => `- ${name} ${value}`), '', '</details>', '',
  ].join('\n');
}

const smaller = ({ device: { kind }, seed }: CheckReport): string[] =>
  (kind === 'software' && seed !== undefined ? [SMALLER] : []);

/** What the browser calls the device, without the numbers of maker and model that some put first. */
export const nameOf = ({ device: { name } }: CheckReport): string =>
  name.replace(/^[\d\s]+/, '') || 'A device whose name the browser does not tell';

const checked = ({ stages }: CheckReport): string[] => (stages.length === 0 ? [] : [
  ...markdown(
    ['Checked', 'done', 'left out for time', 'comparisons', 'largest error, of its bound'],
    stages.map(({ name, done, left, comparisons, worst }) =>
      [name, String(done), String(left), String(comparisons), worst > 0 ? shareText(worst) : '—'])),
  '', ...largestErrors(stages),
]);

/** Where the largest errors are. */
export const largestErrors = (stages: CheckReport['stages']): string[] => stages.flatMap(({ name, worst, worstOf }) =>
  (worstOf === undefined ? [] : [
    `- Largest error of ${name}: ${shareText(worst)} of its bound, in ${worstOf}${isFlushed(worstOf) ? FLUSHED : ''}`,
  ]));
/** Where operands are subnormal, taking them for 0 is all of the error, and all that the bound allows for. */
const isFlushed = (title: string): boolean => title.includes('values_subnormal');
const FLUSHED = '. Its numbers are below the smallest normal one. WGSL lets a device take them for 0, and the bound is '
  + 'just what that costs.';

/** The contenders of a report, in the order in which they first come. */
export const contendersOf = ({ rows }: CheckReport): readonly string[] =>
  [...new Set(rows.flatMap(({ outcomes }) => Object.keys(outcomes)))];

/** How a contender did with a layer, in milliseconds. */
export const cellOf = ({ timing, failure }: Outcome = {}): string =>
  (timing ? figure(timing.median) : failure === undefined ? '—' : 'failed');

function times(report: CheckReport): string[] {
  const { rows, ceilings, clock } = report;
  if (rows.length === 0) return [];
  const contenders = contendersOf(report);
  const batches = [...new Set(rows.map(({ layer: { input: [N] } }) => N))];
  const totals = batches.flatMap((batch) => {
    const sums = contenders.map((name) => mobileNetTime(report, batch, name));
    const share = mobileNetShare(report, batch);
    if (sums.every((sum) => sum === undefined)) return [];
    return [[`**MobileNetV1, 13 layers, batch ${batch}**`, ...sums.map((sum) => (sum ? figure(sum) : '—')),
      share ? percent(share) : '—']];
  });
  return [
    '', `### Milliseconds, by the ${clock === 'device' ? 'device\'s own' : 'wall'} clock`, '',
    ...markdown(['Layer', ...contenders, 'of the ceilings'], [
      ...rows.map((row) => [
        row.workload, ...contenders.map((name) => cellOf(row.outcomes[name])),
        ceilings && row.outcomes['auto']?.timing ? percent(shareOf(row, ceilings)) : '—',
      ]),
      ...totals,
    ]), '', ceilingsText(report),
  ];
}

export function ceilingsText({ ceilings }: CheckReport): string {
  if (!ceilings) return 'The ceilings were not measured.';
  const { gflops, gbytes, emptyDispatch } = ceilings;
  return `Ceilings: ${figure(gflops)} GFLOP/s multiply-add in registers, ${figure(gbytes)} GB/s copy. An empty `
    + `dispatch takes ${microseconds(emptyDispatch)}.`;
}

const failed = ({ failures }: CheckReport): string[] => (failures.length === 0 ? [] : [
  '', '### Failed', '',
  ...failures.map(({ kind, title, message }) => `- **${kind}**: ${title}: ${message.replaceAll('\n', ' ')}`),
]);
