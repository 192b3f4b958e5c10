import { type CheckReport, isWrong, shareOf, verdict } from '../test/check/report.js';
import { element, make, setText } from './page.js';
import { roofline } from './roofline.js';

/** Shows what a check came to. */
export async function showReport(report: CheckReport): Promise<void> {
  const { cellOf, ceilingsText, contendersOf, largestErrors, nameOf } = await import('../test/check/markdown.js');
  const { device, environment, stages, rows, ceilings, clock, seed, seconds } = report;
  setText('check-verdict', verdict(report));
  const unknown = report.ended !== undefined && report.failures.length === 0;
  element('check-verdict', HTMLElement).dataset['verdict'] = isWrong(report) ? 'differs' : unknown ? 'none' : 'agrees';
  setText('check-device', `${nameOf(report)} (${device.kind === 'gpu' ? 'a GPU' : 'software, runs on the CPU'})`);
  setText('check-browser', environment);
  setText('check-extent', [
    ...stages.map(({ name, done, left, comparisons }) =>
      `${name}: ${done} of ${done + left}${comparisons > 0 ? `, ${comparisons} comparisons` : ''}`),
    `${seconds} s, seed ${seed}`,
  ].join('; '));
  setText('check-errors', largestErrors(stages).join(' '));
  setText('check-features', device.features.join(', ') || 'none');

  const contenders = contendersOf(report);
  const head = ['Layer', ...contenders, 'of the ceilings'].map((name) => make('th', { scope: 'col' }, name));
  element('check-rows', HTMLTableElement).replaceChildren(
    make('caption', { class: 'note' }, `Milliseconds, by the ${clock === 'device' ? 'device’s own' : 'wall'} clock`),
    make('thead', {}, make('tr', {}, ...head)),
    make('tbody', {}, ...rows.map((row) => {
      const share = ceilings && row.outcomes['auto']?.timing ? `${(100 * shareOf(row, ceilings)).toFixed(0)} %` : '—';
      return make('tr', {},
        make('th', { scope: 'row' }, row.workload),
        ...contenders.map((name) => make('td', {}, cellOf(row.outcomes[name]))), make('td', {}, share));
    })));
  setText('check-ceilings', ceilingsText(report));

  const plot = element('check-plot', HTMLElement);
  plot.hidden = false;
  element('check-report', HTMLElement).hidden = false; // So that there is a width.
  const drawn = roofline(report, Math.min(720, Math.max(280, plot.clientWidth)));
  plot.querySelector('svg')?.remove();
  if (drawn) plot.prepend(drawn);
  plot.hidden = drawn === undefined;
}
