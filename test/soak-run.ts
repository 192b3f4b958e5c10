import { readdirSync, readFileSync } from 'node:fs';
import process from 'node:process';
import { parseArgs } from 'node:util';
import type { Browser, CDPSession, Page } from 'puppeteer';
import { createServer } from 'vite';
import { launchBrowser } from '../demo/node/browser.js';
import type { SoakState } from './soak.js';

/** `npm run soak -- --runs 10000 --seed 1`: mixed runs of small random layers, and what they leave behind. */

const { values: options } = parseArgs({
  options: { runs: { type: 'string', default: '10000' }, seed: { type: 'string' } },
});
const runs = Number(options.runs);
const seed = Number(options.seed ?? Date.now() % 1e9);
const CHUNK = Math.min(1000, Math.ceil(runs / 10));

interface Sample extends SoakState {
  readonly heap: number;
  /** Runs per second of wall-clock time, and per second of all processors' time in the browser. */
  readonly perSecond: number;
  readonly perCpuSecond: number;
}

/** Seconds of processor time of a process and its descendants; Linux only. */
function cpuSeconds(root: number | undefined): number {
  try {
    const processes = readdirSync('/proc').filter((name) => /^\d+$/.test(name)).flatMap((pid) => {
      try {
        const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /s, '').split(' ');
        return [{ pid: Number(pid), parent: Number(fields[1]), ticks: Number(fields[11]) + Number(fields[12]) }];
      } catch {
        return []; // It has ended.
      }
    });
    const family = new Set([root]);
    for (let size = 0; size !== family.size;) {
      size = family.size;
      for (const { pid, parent } of processes) if (family.has(parent)) family.add(pid);
    }
    return processes.filter(({ pid }) => family.has(pid)).reduce((sum, { ticks }) => sum + ticks, 0) / 100;
  } catch {
    return NaN;
  }
}

async function heapBytes(page: Page, session: CDPSession): Promise<number> {
  for (let i = 0; i < 3; i++) await session.send('HeapProfiler.collectGarbage');
  return (await page.metrics()).JSHeapUsedSize ?? NaN;
}

async function soak(browser: Browser, url: string): Promise<Sample[]> {
  const page = await browser.newPage();
  const failures: string[] = [];
  page.on('pageerror', (error) => failures.push(String(error)));
  await page.goto(url);
  await page.waitForFunction(() => 'reliability' in window);
  const session = await page.createCDPSession();
  await page.evaluate((s) => window.reliability.startSoak(s), seed);
  await page.evaluate((n) => window.reliability.stepSoak(n), Math.min(200, runs)); // The browser warms up.
  const samples: Sample[] = [];
  for (let done = 0; done < runs; done += CHUNK) {
    const [start, cpu] = [performance.now(), cpuSeconds(browser.process()?.pid)];
    await page.evaluate((n) => window.reliability.stepSoak(n), CHUNK);
    const [seconds, cpuTime] = [(performance.now() - start) / 1000, cpuSeconds(browser.process()?.pid) - cpu];
    const heap = await heapBytes(page, session);
    // Pipelines are counted after the collection.
    const state = await page.evaluate(() => window.reliability.stepSoak(0));
    const sample = { ...state, heap, perSecond: CHUNK / seconds, perCpuSecond: CHUNK / cpuTime };
    samples.push(sample);
    console.log([
      `${sample.runs} runs`, `${sample.checked} checked`, `worst ${sample.worst.toFixed(3)} of the tolerance`,
      `${sample.buffers} buffers (at most ${sample.mostBuffers})`, `${(sample.bytes / 2 ** 20).toFixed(1)} MiB`,
      `${sample.pipelines} pipelines of ${sample.compiled} compiled`, `heap ${(heap / 2 ** 20).toFixed(1)} MiB`,
      `${sample.perSecond.toFixed(1)} runs/s`, `${sample.perCpuSecond.toFixed(1)} runs/CPU s`,
    ].join(', '));
    if (failures.length > 0) throw new Error(failures.join('\n'));
  }
  const { buffers } = await page.evaluate(() => window.reliability.endSoak());
  console.log(`${buffers} buffers left after destroy`);
  if (buffers > 0) throw new Error('buffers leak');
  return samples;
}

console.log(`soak: ${runs} runs, seed ${seed}`);
const server = await createServer({ server: { port: 0, hmr: false }, logLevel: 'warn' });
await server.listen();
const browser = await launchBrowser(console.log);
try {
  const samples = await soak(browser, `${server.resolvedUrls?.local[0]}test/reliability.html`);
  const [first, last] = [samples[0]!, samples.at(-1)!];
  const percent = (a: number, b: number): string => `${((b / a - 1) * 100).toFixed(1)} %`;
  console.log(`last ${CHUNK} runs against the first: ${percent(first.perSecond, last.perSecond)} by the clock, `
    + `${percent(first.perCpuSecond, last.perCpuSecond)} by processor time; heap ${percent(first.heap, last.heap)}`);
} catch (error) {
  console.error(String(error));
  process.exitCode = 1;
} finally {
  await browser.close();
  await server.close();
}
