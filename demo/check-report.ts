import { type CheckReport, counted, isWrong, verdict } from '../test/check/report.js';
import { element, make, setText } from './page.js';
import { roofline } from './roofline.js';

const KINDS = { gpu: ' (a GPU)', software: ' (software, runs on the CPU)', unknown: '' };

let shown: CheckReport | undefined;

/** Shows what a check came to. */
export async function showReport(report: CheckReport): Promise<void> {
  const { clockText, interrupted, largestErrors, legend, nameOf, timesTable } = await import(
    '../test/check/markdown.js');
  const { device, environment, stages, ended, seed, seconds } = report;
  setText('check-verdict', verdict(report));
  const unknown = ended === 'stopped' || stages.every(({ comparisons }) => comparisons === 0);
  element('check-verdict', HTMLElement).dataset['verdict'] =
    isWrong(report) ? 'differs' : unknown ? 'pending' : 'agrees';
  setText('check-device', `${nameOf(report)}${KINDS[device.kind]}`);
  setText('check-browser', environment);
  list('check-extent', [
    ...stages.map(({ name, all = 0, done, left, comparisons }) => [
      `${name}: ${done} of ${done + left}`, all > done + left && ` drawn from ${all}`,
      comparisons > 0 && `, ${counted(comparisons, 'comparison')}`,
    ].filter(Boolean).join('')),
    `${seconds} s, seed ${seed}`, ...interrupted(report),
  ]);
  list('check-errors', largestErrors(stages));
  setText('check-features', device.features.join(', ') || 'none');
  list('check-limits', Object.entries(device.limits).map(([name, value]) => `${name} ${value}`));

  const { head, layers, sums } = timesTable(report);
  element('check-times', HTMLElement).hidden = layers.length === 0;
  element('check-rows', HTMLTableElement).replaceChildren(
    make('caption', { class: 'note' }, clockText(report)),
    make('thead', {}, make('tr', {}, ...head.map((name) => make('th', { scope: 'col' }, name)))),
    make('tbody', {}, ...[...layers, ...sums].map(([name = '', ...cells]) => make(
      'tr', {}, make('th', { scope: 'row' }, name.replace('->', '→')),
      ...cells.map((cell) => make('td', {}, cell))))));
  setText('check-legend', layers.length === 0 ? 'No layer was timed.' : legend(report));

  element('check-report', HTMLElement).hidden = false; // So that there is a width.
  shown = report;
  drawPlot();
}

/** As wide as there is room. */
function drawPlot(): void {
  const plot = element('check-plot', HTMLElement);
  plot.hidden = false;
  const drawn = shown && roofline(shown, Math.min(720, Math.max(240, plot.clientWidth)));
  plot.querySelector('svg')?.remove();
  if (drawn) plot.prepend(drawn);
  plot.hidden = drawn === undefined;
}
addEventListener('resize', () => {
  if (element('check-plot', HTMLElement).checkVisibility()) drawPlot();
});

const list = (id: string, lines: readonly string[]): void =>
  element(id, HTMLUListElement).replaceChildren(...lines.map((line) => make('li', {}, line)));
