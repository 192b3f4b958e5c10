import type { Outcome } from '../bench/measure.js';
import { figure, markdown, microseconds, percent } from '../bench/report.js';
import { type CheckReport, mobileNetShare, mobileNetTime, shareOf, verdict } from './report.js';

/** A report for people. */

export function markdownOf(report: CheckReport): string {
  const { device, environment, date, version, seed, seconds, notes = [] } = report;
  const from = [
    environment, date, version && `sepconv-webgpu ${version}`, seed !== undefined && `seed ${seed}`,
    seconds !== undefined && `${seconds} s`,
  ].filter(Boolean).join('; ');
  return [
    `## ${nameOf(report)}`, '', `**${verdict(report)}**`, '', `${from}.`, ...notes.flatMap((note) => ['', note]), '',
    ...checked(report), ...times(report), ...failed(report), '', '### Device', '',
    `- Kind: ${device.kind}`, `- Features: ${device.features.join(', ') || 'none'}`,
    `- Limits: ${Object.entries(device.limits).map(([name, value]) => `${name} ${value}`).join(', ')}`, '',
  ].join('\n');
}

/** What the browser calls the device. */
export const nameOf = ({ device: { name } }: CheckReport): string =>
  name || 'A device whose name the browser does not tell';

const checked = ({ stages }: CheckReport): string[] => (stages.length === 0 ? [] : markdown(
  ['Checked', 'done', 'left out for time', 'comparisons', 'largest error, of its bound'],
  stages.map(({ name, done, left, comparisons, worst }) =>
    [name, String(done), String(left), String(comparisons), worst > 0 ? worst.toFixed(2) : '—'])));

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
