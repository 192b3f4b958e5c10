import { writeFileSync } from 'node:fs';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { loadContender, openPage, publish, type Site, withBrowser } from './browser.js';
import { expectedOf } from './contender.js';
import { expectedGradients } from './gradients.js';
import { installPeers } from './install.js';
import { firstLine, measureRow, type Remote, type Row, timing } from './measure.js';
import { type Common, commonOptions, commonUsage, progress, readCommon, regex } from './options.js';
import {
  type First, type NetworkResults, type NetworkRow, report, reportBlocks, reportGradients, reportNetworks,
  type Results,
} from './report.js';
import { roofline } from './roofline.js';
import { blocks, type Workload } from './workloads.js';
import type { Bounded } from '../bounds.js';

/**
 * These share a page and its device: from one device to another of this browser the same kernels differ by 5 to 9 %.
 */
const OURS = ['auto', 'fused', 'two-pass', 'alone'];
const CONTENDERS = ['auto', 'fused', 'two-pass', 'naive', 'litert-webgpu', 'jax-webgpu', 'tfjs-webgpu',
  'onnxruntime-webgpu', 'tfjs-webgl', 'tfjs-wasm'];
const GRADIENT_CONTENDERS = ['gradients', 'gradients-tfjs-webgpu'];
const BLOCK_CONTENDERS = [...OURS, 'litert-webgpu', 'tfjs-webgpu', 'onnxruntime-webgpu'];
const FIRST_SAMPLES = 3;
/** One photo stands for all: a network's work before its boxes is the same for each. */
const PHOTO = 'sample1.jpg';

const USAGE = `npm run bench -- [options]

Runs separable convolutions by this library (auto, fused, two-pass), by a naive kernel and by other libraries in one
headless browser, checks every result, and compares the times.

${commonUsage(CONTENDERS)}
  --plot FILE        writes the roofline plot, an SVG
  --no-first         without the time to a first result in fresh browsers
  --gradients        instead, the backward pass, ours and that of tfjs-backend-webgpu
  --blocks           instead, blocks of MobileNetV2 and EfficientNet-B0 (alone: ours with a layer for each pass)
  --networks         instead, whole networks against other libraries' on WebGPU; with --only, --samples and --json
  --help`;

async function bench(
  { contenders, workloads, samples }: Common, withFirst: boolean, expected: (workload: Workload) => Bounded,
): Promise<Results> {
  await installPeers();
  progress('The pages are built');
  const site = await publish();
  try {
    const results = await withBrowser(async (browser): Promise<Results> => {
      const page = await openPage(browser, site);
      progress('The ceilings are measured');
      const { adapter, ...ceilings } = await page.evaluate((count) => window.bench.ceilings(count), samples);
      await page.close();
      const remotes: Remote[] = [];
      const shared = await openPage(browser, site);
      for (const name of contenders) {
        remotes.push(await loadContender(OURS.includes(name) ? shared : await openPage(browser, site), name));
      }
      const rows: Row[] = [];
      for (const workload of workloads) {
        site.expect(expected(workload));
        rows.push(await measureRow(workload, remotes, samples, progress));
      }
      const environment = `${(await browser.version()).replace('/', ' ')}, ${adapter}`;
      return { date: new Date().toISOString().slice(0, 10), environment, samples, ceilings, contenders, rows };
    });
    return withFirst ? { ...results, first: await measureFirst(site, contenders) } : results;
  } finally {
    await site.close();
  }
}

/** Whole networks, and who else runs them. */
const NETWORKS = [
  ['tiny', 'face-api on tfjs-webgpu'], ['ssd', 'face-api on tfjs-webgpu'], ['segmentation', 'LiteRT.js on WebGPU'],
] as const;

/** Whole networks, each twice in one page; one sample of each in turn. */
async function benchNetworks(samples: number, only: RegExp): Promise<NetworkResults> {
  await installPeers();
  progress('The pages are built');
  const site = await publish();
  try {
    return await withBrowser(async (browser): Promise<NetworkResults> => {
      const rows: NetworkRow[] = [];
      for (const [network, peer] of NETWORKS.filter(([name]) => only.test(name))) {
        progress(`${network}: both are checked`);
        const page = await openPage(browser, site);
        const same = await page.evaluate(
          (id, photo) => window.bench.loadNetwork(id, photo), network, `photos/${PHOTO}`);
        const times = { ours: [] as number[], theirs: [] as number[] };
        for (let sample = 0; sample < samples; sample++) {
          for (const whose of ['ours', 'theirs'] as const) {
            progress(`${network}: sample ${sample + 1} of ${samples}, ${whose}`);
            times[whose].push(await page.evaluate((one) => window.bench.timeNetwork(one), whose));
          }
        }
        rows.push({ network, photo: PHOTO, same, peer, ours: timing(times.ours), theirs: timing(times.theirs) });
        await page.close();
      }
      const environment = (await browser.version()).replace('/', ' ');
      return { date: new Date().toISOString().slice(0, 10), environment, samples, rows };
    });
  } finally {
    await site.close();
  }
}

/** Each contender's way to its first result, each time in a fresh browser, in turn. */
async function measureFirst(site: Site, contenders: readonly string[]): Promise<Record<string, First>> {
  const first: Record<string, First> = {};
  const times = new Map<string, number[]>();
  for (let sample = 0; sample < FIRST_SAMPLES; sample++) {
    for (const name of contenders.filter((one) =>
      !['fused', 'two-pass'].includes(one) && first[one]?.failure === undefined)) {
      progress(`First result ${sample + 1} of ${FIRST_SAMPLES}: ${name}`);
      try {
        const { milliseconds, files } = await withBrowser(async (browser) =>
          (await openPage(browser, site)).evaluate((contender) => window.bench.first(contender), name));
        times.set(name, [...(times.get(name) ?? []), milliseconds]);
        first[name] = { timing: timing(times.get(name)!), gzippedBytes: site.gzippedBytes(files) };
      } catch (error) {
        first[name] = { failure: firstLine(error) };
      }
    }
  }
  return first;
}

try {
  const { values } = parseArgs({
    options: {
      ...commonOptions, plot: { type: 'string' }, 'no-first': { type: 'boolean', default: false },
      networks: { type: 'boolean', default: false }, gradients: { type: 'boolean', default: false },
      blocks: { type: 'boolean', default: false },
    },
  });
  if (values.help) console.log(USAGE);
  else if (values.networks) {
    const { samples } = readCommon({ ...values, only: '' }, CONTENDERS);
    const results = await benchNetworks(samples, regex(values.only));
    progress('');
    console.log(reportNetworks(results));
    if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(results, undefined, 1)}\n`);
  } else if (values.gradients) {
    const results = await bench(
      readCommon({ contenders: GRADIENT_CONTENDERS.join(), ...values }, GRADIENT_CONTENDERS), false, expectedGradients);
    progress('');
    console.log(reportGradients(results));
    if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(results, undefined, 1)}\n`);
  } else if (values.blocks) {
    const results = await bench(
      readCommon({ contenders: BLOCK_CONTENDERS.join(), ...values }, BLOCK_CONTENDERS, blocks), false, expectedOf);
    progress('');
    console.log(reportBlocks(results));
    if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(results, undefined, 1)}\n`);
  } else {
    const results = await bench(readCommon(values, CONTENDERS), !values['no-first'], expectedOf);
    progress('');
    console.log(report(results));
    if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(results, undefined, 1)}\n`);
    if (values.plot !== undefined) writeFileSync(values.plot, await roofline(results));
  }
} catch (error) {
  progress('');
  console.error(`npm run bench: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
