import type { Results } from './report.js';

/** Not drawn: `auto` is one of them. */
const STRATEGIES: readonly string[] = ['fused', 'two-pass'];

/**
 * Draws throughput over arithmetic intensity, a dot for each contender and
 * layer below the roof of the two ceilings; as SVG.
 */
export async function roofline(
  { rows, contenders, ceilings: { gflops, gbytes }, environment }: Results,
): Promise<string> {
  const [{ parse, View }, { compile }] = await Promise.all([import('vega'), import('vega-lite')]);
  const shown = contenders.filter((name) => !STRATEGIES.includes(name));
  const dots = rows.flatMap(({ operations, leastBytes, outcomes }) => shown.flatMap((name) => {
    const median = outcomes[name]?.timing?.median;
    return median === undefined
      ? []
      : [{ contender: name, intensity: operations / leastBytes, throughput: operations / median / 1e6 }];
  }));
  const intensities = dots.map(({ intensity }) => intensity);
  const least = Math.min(...dots.map(({ throughput }) => throughput));
  const [from, ridge, to] = [Math.min(...intensities) / 2, gflops / gbytes, Math.max(...intensities) * 1.5];
  const roof = [from, ...(ridge > from && ridge < to ? [ridge] : []), to]
    .map((intensity) => ({ intensity, throughput: Math.min(gflops, intensity * gbytes) }));
  const spec = {
    width: 640, height: 440, background: 'white', padding: 12,
    title: {
      text: "MobileNetV1's separable layers and others under the roofline", subtitle: environment, anchor: 'start',
    },
    config: {
      axis: { labelFontSize: 12, titleFontSize: 13 }, legend: { labelFontSize: 12, titleFontSize: 13 },
      title: { fontSize: 15, subtitleFontSize: 12 },
    },
    encoding: {
      x: {
        field: 'intensity', type: 'quantitative', scale: { type: 'log', domain: [from, to], nice: false },
        axis: { values: [5, 10, 15, 20, 30, 40, 50, 70, 100, 150, 200, 300], grid: true },
        title: 'arithmetic intensity, FLOP per byte of input, filters and output',
      },
      y: {
        field: 'throughput', type: 'quantitative',
        scale: { type: 'log', domain: [least / 1.5, gflops * 1.6], nice: false }, title: 'GFLOP/s',
      },
    },
    layer: [
      { data: { values: roof }, mark: { type: 'line', color: '#333', strokeWidth: 2 } },
      {
        data: {
          values: [{
            ...roof.at(-1),
            text: `multiply-add ${gflops.toPrecision(3)} GFLOP/s, copy ${gbytes.toPrecision(2)} GB/s`,
          }],
        },
        mark: { type: 'text', align: 'right', baseline: 'bottom', dy: -6, fontSize: 12 },
        encoding: { text: { field: 'text' } },
      },
      {
        data: { values: dots }, mark: { type: 'point', filled: true, opacity: 0.9 },
        encoding: {
          color: {
            field: 'contender', type: 'nominal', sort: shown, scale: { scheme: 'dark2' },
            legend: { title: null, labelLimit: 0 },
          },
          shape: { field: 'contender', type: 'nominal', sort: shown },
          size: { condition: { test: "datum.contender == 'auto'", value: 150 }, value: 60 },
        },
      },
    ],
  };
  return new View(parse(compile(spec).spec), { renderer: 'none' }).toSVG();
}
