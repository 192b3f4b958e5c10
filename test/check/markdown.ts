import type { Outcome } from '../bench/measure.js';
import { figure, markdown, microseconds, percent } from '../bench/report.js';
import { shareText } from '../compare.js';
import { type CheckReport, CONTENDERS, mobileNetShare, mobileNetTime, shareOf, verdict } from './report.js';

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
    ...[...smaller(report), ...interrupted(report), ...notes].flatMap((note) => ['', note]), '',
    ...checked(report), ...failed(report), ...times(report), '', '### Device', '',
    `- Kind: ${device.kind}`, `- Features: ${device.features.join(', ') || 'none'}`,
    '', '<details><summary>Limits</summary>', '',
    ...Object.entries(device.limits).map(([name, value]) => `- ${name} ${value}`), '', '</details>', '',
  ].join('\n');
}

/** Said of a software adapter that was checked. */
const smaller = ({ device: { kind }, stages, extent }: CheckReport): string[] =>
  (kind !== 'software' || stages.length === 0 ? [] : ['A software adapter runs on the CPU. It is checked with '
    + `${extent === 'all' ? '' : 'few cases, '}small workgroups and light kernels, and fewer layers are timed.`]);

/** Said of a check that could not go on all the time. */
export const interrupted = ({ interruptions = 0 }: CheckReport): string[] => (interruptions === 0 ? []
  : [`The page was hidden, or the machine asleep, ${interruptions === 1 ? 'once' : `${interruptions} times`}. What ran `
    + 'then ran again.']);

/** What the browser calls the device, without the numbers of maker and model that some put first. */
export const nameOf = ({ device: { name, kind } }: CheckReport): string =>
  name.replace(/^[\d\s]+/, '') || (kind === 'unknown' ? 'No device' : 'A device whose name the browser does not tell');

const checked = ({ stages }: CheckReport): string[] => (stages.length === 0 ? [] : [
  ...markdown(
    ['Checked', 'done', 'drawn', 'of', 'comparisons', 'largest error, of its bound'],
    stages.map(({ name, all, done, left, comparisons, worst }) => [
      name, String(done), String(done + left), orNone(all, String), String(comparisons),
      orNone(worst || undefined, shareText),
    ])),
  '', ...largestErrors(stages).map((line) => `- ${line}`),
]);

/** Where the largest errors are. */
export const largestErrors = (stages: CheckReport['stages']): string[] => stages.flatMap(({ name, worst, worstOf }) =>
  (worstOf === undefined ? [] : [`Largest error of ${name}: ${shareText(worst)} of its bound, in ${worstOf}`]));

/** The table of times as text: a row of each layer, then sums of those that MobileNetV1 has. */
export interface TimesTable {
  readonly head: readonly string[];
  readonly layers: readonly (readonly string[])[];
  readonly sums: readonly (readonly string[])[];
}

/** In milliseconds. */
export function timesTable(report: CheckReport): TimesTable {
  const { rows, ceilings } = report;
  const contenders = CONTENDERS.filter((name) => rows.some(({ outcomes }) => outcomes[name]));
  const batches = [...new Set(rows.map(({ layer: { input: [N] } }) => N))];
  const sums = batches.map((batch) => [
    `MobileNetV1, 13 layers, batch ${batch}`,
    ...contenders.map((name) => orNone(mobileNetTime(report, batch, name), figure)),
    orNone(mobileNetShare(report, batch), percent),
  ]);
  return {
    head: ['Layer', ...contenders, 'of the ceilings'],
    layers: rows.map((row) => [
      row.workload, ...contenders.map((name) => cellOf(row.outcomes[name])),
      orNone(ceilings && row.outcomes['auto']?.timing && shareOf([row], ceilings), percent),
    ]),
    sums: sums.filter(([, ...cells]) => cells.some((cell) => cell !== NONE)),
  };
}

export const NONE = '—';
export const orNone = (value: number | undefined, show: (value: number) => string): string =>
  (value === undefined ? NONE : show(value));

/** How a contender did with a layer. */
function cellOf({ timing, failure }: Outcome = {}): string {
  if (failure !== undefined) return 'failed';
  return `${orNone(timing?.median, figure)}${timing?.lowClock ? ` ↓${timing.lowClock}` : ''}`;
}

export const clockText = ({ clock }: CheckReport): string =>
  `Milliseconds, by the ${clock === 'device' ? 'device’s own' : 'wall'} clock`;

/** The names of the contenders. */
const LEGEND = 'auto: as the library chooses; tuned: as it chooses by measuring; fused, two-pass: by one or by '
  + 'two kernels; naive: by the simplest shader.';

function times(report: CheckReport): string[] {
  if (report.rows.length === 0) return [];
  const { head, layers, sums } = timesTable(report);
  return [
    '', `### ${clockText(report)}`, '',
    ...markdown(head, [...layers, ...sums.map(([name, ...cells]) => [`**${name}**`, ...cells])]), '',
    legend(report),
  ];
}

/** What the table of times means. */
export function legend({ ceilings, rows }: CheckReport): string {
  const low = rows.some(({ outcomes }) => Object.values(outcomes).some(({ timing }) => timing?.lowClock));
  const lines = [
    LEGEND, low && '↓: so many of the samples were taken at a low clock of the device.',
    ceilings ? `Ceilings: ${figure(ceilings.gflops)} GFLOP/s multiply-add in registers, ${figure(ceilings.gbytes)} `
      + `GB/s copy. An empty dispatch takes ${microseconds(ceilings.emptyDispatch)}.`
      : 'The ceilings were not measured.',
  ];
  return lines.filter((line) => line !== false).join(' ');
}

/** Messages may have what Markdown takes for markup, as `vec4<f32>`. */
const failed = ({ failures }: CheckReport): string[] => (failures.length === 0 ? [] : [
  '', '### Failed', '',
  ...failures.map(({ kind, title, message }) => `- **${kind}**: ${title}: \`${message.replaceAll(/[\n`]/g, ' ')}\``),
]);
