import type { CheckReport } from '../test/check/report.js';

/** The roofline of a report: throughput over arithmetic intensity below the two ceilings, both logarithmic. */

const HEIGHT = 320;
const MARGIN = { left: 58, right: 12, top: 24, bottom: 44 };
/** Drawn from back to front; each has a colour and a shape in the style sheet, by its name. */
const SHOWN = ['naive', 'auto', 'tuned'] as const;
const NAMESPACE = 'http://www.w3.org/2000/svg';

/** Nothing where the ceilings or all times are missing. `width` in CSS pixels. */
export function roofline({ rows, ceilings }: CheckReport, width: number): SVGSVGElement | undefined {
  const dots = rows.flatMap(({ workload, operations, leastBytes, outcomes }) => SHOWN.flatMap((name) => {
    const median = outcomes[name]?.timing?.median;
    return median === undefined ? []
      : [{ name, workload, intensity: operations / leastBytes, gflops: operations / median / 1e6 }];
  })).toSorted((a, b) => SHOWN.indexOf(a.name) - SHOWN.indexOf(b.name));
  if (!ceilings || dots.length === 0) return undefined;
  const intensities = dots.map(({ intensity }) => intensity);
  const [from, to] = [Math.min(...intensities) / 1.5, Math.max(...intensities) * 1.5];
  const [least, most] = [Math.min(...dots.map(({ gflops }) => gflops)) / 1.5, ceilings.gflops * 1.5];
  const x = scale(from, to, MARGIN.left, width - MARGIN.right);
  const y = scale(least, most, HEIGHT - MARGIN.bottom, MARGIN.top);
  const roofAt = (intensity: number): number => Math.min(ceilings.gflops, intensity * ceilings.gbytes);
  const ridge = ceilings.gflops / ceilings.gbytes;
  const roof = [from, ...(ridge > from && ridge < to ? [ridge] : []), to]
    .map((intensity) => `${x(intensity)},${y(Math.max(least, roofAt(intensity)))}`).join(' ');
  const plot = draw('svg', {
    viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, role: 'img',
    'aria-label': `Roofline: ${dots.length} times of layers below ${Math.round(ceilings.gflops)} GFLOP/s and `
      + `${Math.round(ceilings.gbytes)} GB/s; the table has the figures`,
  });
  for (const value of ticks(from, to)) {
    plot.append(draw('line', { class: 'grid', x1: x(value), x2: x(value), y1: MARGIN.top, y2: y(least) }));
    plot.append(write(String(value), x(value), y(least) + 16, 'middle'));
  }
  for (const value of ticks(least, most)) {
    plot.append(draw('line', { class: 'grid', x1: x(from), x2: x(to), y1: y(value), y2: y(value) }));
    plot.append(write(String(value), x(from) - 6, y(value) + 4, 'end'));
  }
  plot.append(
    write('GFLOP/s', 4, 14, 'start'), write('FLOP per byte', x(to), HEIGHT - 8, 'end'),
    draw('polyline', { class: 'roof', points: roof }));
  for (const { name, workload, intensity, gflops } of dots) {
    const title = draw('title', {});
    title.textContent = `${workload}, ${name}: ${gflops.toPrecision(3)} GFLOP/s`;
    const dot = name === 'naive'
      ? draw('rect', { class: name, x: x(intensity) - 4, y: y(gflops) - 4, width: 8, height: 8 })
      : draw('circle', { class: name, cx: x(intensity), cy: y(gflops), r: name === 'tuned' ? 3 : 5 });
    dot.append(title);
    plot.append(dot);
  }
  return plot;
}

/** Logarithmic, from a domain to pixels. */
const scale = (from: number, to: number, start: number, end: number) => (value: number): number =>
  Number((start + (end - start) * Math.log(value / from) / Math.log(to / from)).toFixed(1));

/** Round numbers between two: 1, 2 and 5 of each power of ten, or only the powers where those are too many. */
function ticks(from: number, to: number): readonly number[] {
  const powers = Array.from(
    { length: Math.ceil(Math.log10(to)) - Math.floor(Math.log10(from)) + 1 },
    (_, i) => 10 ** (Math.floor(Math.log10(from)) + i));
  const within = (values: readonly number[]): readonly number[] =>
    values.map((value) => Number(value.toPrecision(1))).filter((value) => value >= from && value <= to);
  const all = within(powers.flatMap((power) => [power, 2 * power, 5 * power]));
  return all.length <= 8 ? all : within(powers);
}

function draw<K extends keyof SVGElementTagNameMap>(
  tag: K, attributes: Readonly<Record<string, string | number>>,
): SVGElementTagNameMap[K] {
  const made = document.createElementNS(NAMESPACE, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  return made;
}

function write(words: string, x: number, y: number, anchor: string): SVGTextElement {
  const text = draw('text', { x, y, 'text-anchor': anchor });
  text.textContent = words;
  return text;
}
