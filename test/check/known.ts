import { readdirSync, readFileSync } from 'node:fs';
import { figure, markdown, percent } from '../bench/report.js';
import { nameOf, NONE, orNone } from './markdown.js';
import {
  type CheckReport, type ContenderName, counted, isWrong, mobileNetShare, mobileNetTime, tuningGain, worstChoice,
} from './report.js';

/** The reports that are kept, a file each, and the table of devices that the benchmark's README has of them. */

const FOLDER = new URL('../bench/reports/', import.meta.url);
export const README = new URL('../bench/README.md', import.meta.url);

export interface KnownReport extends CheckReport {
  /** Its file's name. */
  readonly file: string;
}

export function knownReports(): readonly KnownReport[] {
  return readdirSync(FOLDER).filter((file) => file.endsWith('.json')).sort().map((file) =>
    ({ file, ...JSON.parse(readFileSync(new URL(file, FOLDER), 'utf8')) as CheckReport }));
}

const [START, END] = ['<!-- devices: npm run bench:devices -->', '<!-- end of devices -->'];

/** The README with the table of these devices. @throws Error where it lacks the place for it */
export function withTable(readme: string, reports: readonly KnownReport[]): string {
  const [before, rest] = readme.split(START);
  const after = rest?.split(END)[1];
  if (after === undefined) throw new Error(`the README has no ${START} and ${END}`);
  return `${before}${START}\n\n${devicesTable(reports).join('\n')}\n\n${END}${after}`;
}

function devicesTable(reports: readonly KnownReport[]): readonly string[] {
  const head = [
    'Device', 'where', 'right', 'MobileNetV1, ms', 'of the ceilings', 'naive, ms', 'batch 32, ms', 'of the ceilings',
    'gain by tuning', 'choice, at worst',
  ];
  return markdown(head, reports.map((report) => {
    const { environment, date, from } = report;
    const day = date.slice(0, 10);
    const [gain, worst] = [tuningGain(report), worstChoice(report)];
    const time = (batch: number, contender?: ContenderName): string =>
      orNone(mobileNetTime(report, batch, contender), figure);
    return [
      `[${nameOf(report)}](reports/${report.file})`, `${environment}; ${day}${from ? `; ${from}` : ''}`, right(report),
      time(1), orNone(mobileNetShare(report, 1), percent), time(1, 'naive'),
      time(32), orNone(mobileNetShare(report, 32), percent), orNone(gain, (times) => `${times.toFixed(2)}x`),
      worst ? `${worst.times.toFixed(2)}x, ${worst.workload}` : NONE,
    ];
  }));
}

/** In a word or two. */
function right(report: CheckReport): string {
  const { stages, failures, ended, extent } = report;
  const comparisons = stages.reduce((sum, stage) => sum + stage.comparisons, 0);
  if (isWrong(report)) return `**no**, ${ended === 'no device' ? ended : counted(failures.length, 'failure')}`;
  if (comparisons === 0) return NONE;
  const words = [`yes, ${counted(comparisons, 'comparison')}`, extent === 'short' && 'short', ended];
  return words.filter(Boolean).join(', ');
}
