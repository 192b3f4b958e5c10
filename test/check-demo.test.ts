import { spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import process from 'node:process';
import axe from 'axe-core';
import type { Page } from 'puppeteer';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { checkGpu } from '../demo/node/check-job.js';
import { openPage, requestsOf } from './browser.js';
import { knownReports, README, withTable } from './check/known.js';
import type { CheckReport } from './check/report.js';

/** The tab that checks a device: a shortened check in a real browser, with faults put in. */

/** What the tests put into the page's window. */
interface Hooked {
  /** What happens at the next reads of a result, one after the other. */
  faults: ('lose' | 'hang' | undefined)[];
  /**
   * Whether the next submit is out of memory, or dispatches more than a device allows; or the first shader that tuning
   * compiles is none.
   */
  once: 'out-of-memory' | 'validation' | 'tuning' | undefined;
  /** Whether the next depthwise kernel computes something else. */
  wrong: boolean;
  /** So many requests of a device are refused. */
  refusals: number;
  /** Milliseconds that go by from one look at the clock to the next. */
  haste: number;
  /** How often the screen is kept on. */
  locks: number;
  devices: GPUDevice[];
  copied: string;
  file: string;
}
declare const window: Window & typeof globalThis & Hooked;

const SEED = 20261129;
const JSON_FILE = 'output/check.json';
const errors: string[] = [];
let page: Page;
let address: string;

beforeAll(async () => {
  page = await openPage('/package.json');
  page.on('pageerror', (error) => errors.push(String(error)));
  await page.evaluateOnNewDocument(putHooks);
  address = page.url().replace('/package.json', '/demo/?short');
  await page.goto(`${address}#check`);
  await page.waitForSelector('#check-run:enabled');
});
afterAll(() => page.close());
beforeEach(() => page.evaluate(() =>
  Object.assign(window, { faults: [], once: undefined, wrong: false, refusals: 0 })));

/** Runs in the page before its own scripts. */
function putHooks(): void {
  Object.assign(window, { devices: [], faults: [], once: undefined, wrong: false, refusals: 0, haste: 0, locks: 0 });
  const now = Date.now;
  let ahead = 0;
  Date.now = () => now() + (ahead += window.haste);
  const original = <T extends object, K extends keyof T & string>(type: { readonly prototype: T }, name: K): T[K] =>
    Reflect.get(type.prototype, name) as T[K];
  const requestDevice = original(GPUAdapter, 'requestDevice');
  GPUAdapter.prototype.requestDevice = async function hooked(descriptor) {
    if (window.refusals > 0) {
      window.refusals--;
      throw new DOMException('not now', 'OperationError');
    }
    const device = await requestDevice.call(this, descriptor);
    window.devices.push(device);
    window.haste = 0;
    return device;
  };
  const lock = original(WakeLock, 'request');
  WakeLock.prototype.request = async function hooked(type) {
    const sentinel = await lock.call(this, type);
    window.locks++;
    sentinel.addEventListener('release', () => window.locks--);
    return sentinel;
  };
  const mapAsync = original(GPUBuffer, 'mapAsync');
  GPUBuffer.prototype.mapAsync = function hooked(...args) {
    const fault = window.faults.shift();
    if (fault === 'lose') window.devices.at(-1)!.destroy();
    if (fault !== 'hang') return mapAsync.apply(this, args);
    window.haste = 4000; // Until there is another device.
    return new Promise<undefined>(() => {});
  };
  const dispatchWorkgroups = original(GPUComputePassEncoder, 'dispatchWorkgroups');
  GPUComputePassEncoder.prototype.dispatchWorkgroups = function hooked(x, y, z) {
    const tooMany = window.once === 'validation';
    if (tooMany) window.once = undefined;
    dispatchWorkgroups.call(this, tooMany ? 70_000 : x, y, z);
  };
  const scopes: string[] = [];
  const pushErrorScope = original(GPUDevice, 'pushErrorScope');
  GPUDevice.prototype.pushErrorScope = function hooked(filter) {
    scopes.push(filter);
    pushErrorScope.call(this, filter);
  };
  const popErrorScope = original(GPUDevice, 'popErrorScope');
  GPUDevice.prototype.popErrorScope = async function hooked() {
    const full = scopes.pop() === 'out-of-memory' && window.once === 'out-of-memory';
    const error = await popErrorScope.call(this);
    if (!full) return error;
    window.once = undefined;
    return new GPUOutOfMemoryError('no more');
  };
  const createShaderModule = original(GPUDevice, 'createShaderModule');
  GPUDevice.prototype.createShaderModule = function hooked(descriptor) {
    if (window.once === 'tuning' && document.querySelector('#check-now')!.textContent!.endsWith(': tuned')) {
      window.once = undefined;
      return createShaderModule.call(this, { ...descriptor, code: 'none' });
    }
    const wrong = window.wrong && descriptor.code.includes('let start = Lanes(bias[k]);');
    if (wrong) window.wrong = false;
    const code = wrong ? descriptor.code.replace('Lanes(bias[k]);', 'Lanes(bias[k]) + 0.001;') : descriptor.code;
    return createShaderModule.call(this, { ...descriptor, code });
  };
}

const text = (selector: string) => page.$eval(selector, ({ textContent }) => textContent?.trim() ?? '');
const pressed = async (button: string) => {
  await page.focus(button);
  await page.keyboard.press('Enter');
};
const state = (wanted: string) => page.waitForSelector(`#gpu-check[data-state=${wanted}]`, { timeout: 60_000 });

/** Checks by the keyboard, and gives the report. */
async function check(): Promise<CheckReport> {
  await pressed('#check-run');
  await state('working');
  await state('done');
  return reportOfPage();
}

/** The job of `npm start -- --check` on the same page: whether it exits with 0, and what it prints. */
async function checkByJob(): Promise<{ readonly right: boolean; readonly printed: string }> {
  const log = vi.spyOn(console, 'log').mockImplementation(() => undefined);
  try {
    const right = await checkGpu(
      { newPage: () => Promise.resolve(page) }, address, { all: false, seed: SEED, json: JSON_FILE });
    return { right, printed: log.mock.calls.flat().join('\n') };
  } finally {
    log.mockRestore();
  }
}
const reportOfPage = async (): Promise<CheckReport> =>
  JSON.parse(await page.$eval('section#check-report', ({ dataset }) => dataset['report']!)) as CheckReport;
const written = (): CheckReport => JSON.parse(readFileSync(JSON_FILE, 'utf8')) as CheckReport;

/** Screenshots to look at, no sideways scrolling, and nothing that axe finds, in light and dark. */
async function isAccessible(name: string): Promise<void> {
  for (const theme of ['light', 'dark'] as const) {
    await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: theme }]);
    for (const [size, width, height] of [['phone', 320, 700], ['desktop', 1440, 900]] as const) {
      await page.setViewport({ width, height });
      expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(width);
      await page.screenshot({ path: `output/demo-check-${name}-${size}-${theme}.png`, fullPage: true });
    }
    await page.evaluate(axe.source);
    const found = await page.evaluate(async () => {
      const { violations } = await (window as unknown as { axe: typeof axe }).axe.run('#gpu-check');
      return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`);
    });
    expect(found, theme).toEqual([]);
  }
}

test('nothing begins by itself, and the page says that nothing is sent', async () => {
  expect(await page.$eval('section#gpu-check', ({ dataset }) => dataset['state'])).toBe('idle');
  expect(await text('#gpu-check')).toContain('Nothing is sent anywhere.');
  expect(await page.evaluate(() => window.devices.length)).toBe(1); // The page's own.
  expect(await page.$eval('#check-report', (section) => section.checkVisibility())).toBe(false);
  await isAccessible('before');
});

test('a device that is right: verdict, table, plot, report; `npm start -- --check` prints and writes it', async () => {
  await page.focus('#check-run');
  const { right, printed } = await checkByJob();
  const report = await reportOfPage();
  expect(right).toBe(true);
  expect(written()).toEqual(report);
  expect(printed).toMatch(/^## google swiftshader.*\n\n\*\*Right: all \d+ results /);
  expect(printed).toMatch(/\nReport    output\/check\.json$/);
  expect(report).toMatchObject({ format: 1, seed: SEED, failures: [], device: { kind: 'software' } });
  expect(report.stages.map(({ name, done, left }) => [name, done > 0, left]))
    .toEqual([['kernels', true, 0], ['gradients', true, 0], ['times', true, 0]]);
  expect(report.stages[0]!.comparisons).toBeGreaterThan(4);
  expect(report.stages[0]!.worst).toBeGreaterThan(0);
  expect(Object.keys(report.rows[0]!.outcomes)).toEqual(['auto', 'tuned', 'naive']);
  expect(report.rows[0]!.tried!.length).toBeGreaterThan(1);
  expect(report.ceilings!.gflops).toBeGreaterThan(1);
  expect(await text('#check-verdict')).toMatch(
    /^Right: all \d+ results are as exact as they must be; the layers run at [\d.]+ % of what this device can do at /);
  expect(await page.$eval('p#check-verdict', ({ dataset }) => dataset['verdict'])).toBe('agrees');
  expect(await page.$$eval('#check-rows tbody td', (cells) => cells.map(({ textContent }) => textContent)))
    .toSatisfy((cells: string[]) => cells.length === 4 && cells.every((cell) => /^[\d.]+( %)?$/.test(cell)));
  expect(await page.$$('#check-plot circle, #check-plot rect')).toHaveLength(3);
  expect((await page.$$('#check-limits li')).length).toBe(Object.keys(report.device.limits).length);
  expect(await text('#check-errors')).toMatch(/^Largest error of kernels: 0\.\d\d of its bound, in \w+ f32 \[/);
  expect(await page.evaluate(() => document.activeElement?.id)).toBe('check-run');
  await isAccessible('right');
});

test('copied as Markdown, downloaded as JSON, which can be added to the known reports', async () => {
  await page.evaluate(() => {
    navigator.clipboard.writeText = (copied) => Promise.resolve(void (window.copied = copied));
    URL.createObjectURL = (blob) => {
      void (blob as Blob).text().then((json) => (window.copied = json));
      return 'blob:none';
    };
    HTMLAnchorElement.prototype.click = function hooked() {
      window.file = this.download;
    };
  });
  await pressed('#check-copy');
  await page.waitForFunction(() => document.querySelector('#check-copied')?.textContent === 'Copied.');
  const markdown = await page.evaluate(() => window.copied);
  expect(markdown).toContain(`**${await text('#check-verdict')}**`);
  expect(markdown).toMatch(/^\| Layer \| auto \| tuned \| naive \| of the ceilings \|$/m);
  expect(markdown).toMatch(/maxComputeInvocationsPerWorkgroup \d+/);
  await pressed('#check-download');
  await page.waitForFunction(() => window.copied.startsWith('{'));
  const downloaded = JSON.parse(await page.evaluate(() => window.copied)) as CheckReport;
  expect(downloaded).toEqual(written());
  const table = withTable(readFileSync(README, 'utf8'), [...knownReports(), { ...downloaded, file: 'new.json' }]);
  expect(table).toMatch(/^\| \[google swiftshader.*\]\(reports\/new\.json\) \| Chrome .*; [-\d]{10} \| yes, \d+ comp/m);
  expect(await page.evaluate(() => window.file)).toMatch(/^sepconv-webgpu-google-swiftshader.*\.json$/);
});

describe('what goes wrong', () => {
  test('one wrong kernel turns the verdict', async () => {
    await page.evaluate(() => void (window.wrong = true));
    const checking = checkByJob();
    await page.waitForFunction(() => document.querySelector('#check-status')!.textContent === 'Times:');
    await pressed('#check-stop'); // They cannot turn it back.
    const { right, printed } = await checking;
    const { failures, stages } = written();
    expect(right).toBe(false);
    expect(printed).toContain('**Wrong: ');
    const comparisons = stages.reduce((sum, stage) => sum + stage.comparisons, 0);
    expect(failures.length).toBeGreaterThan(0);
    expect(failures.length).toBeLessThan(comparisons / 2);
    for (const { kind, title, message } of failures) {
      expect([kind, title, message])
        .toEqual(['wrong', expect.stringMatching(/depthwise/), expect.stringMatching(/^at .* times the tolerance$/)]);
    }
    expect(await text('#check-verdict'))
      .toContain(`Wrong: ${failures.length} of ${comparisons} results, by more than rounding explains`);
    expect(await page.$eval('p#check-verdict', ({ dataset }) => dataset['verdict'])).toBe('differs');
    expect(await page.$$('#check-failures li')).toHaveLength(failures.length);
    await isAccessible('wrong');
  });

  test('a lost device, a hang, an error of memory, of validation, of tuning: a line each, and it goes on', async () => {
    const before = await page.evaluate(() => {
      // The first two cases read their results once each; then come the others.
      window.faults = ['lose', 'hang'];
      return window.devices.length;
    });
    const next = page.evaluate(async () => {
      const lines = (): number => document.querySelectorAll('#check-failures li').length;
      const until = async (count: number): Promise<void> => {
        while (lines() !== count) await new Promise((resolve) => setTimeout(resolve, 5));
      };
      await until(0);
      await until(2);
      window.once = 'out-of-memory';
      await until(3);
      window.once = 'validation';
      await until(4);
      window.once = 'tuning';
    });
    const { failures, stages, rows } = await check();
    await next;
    expect(failures.map(({ kind }) => kind)).toEqual(['lost', 'hang', 'out-of-memory', 'validation', 'error']);
    expect(failures.at(-1)).toMatchObject({ title: '28x28 32->64: tuned', message: /shader/ });
    expect(new Set(failures.map(({ title }) => title)).size).toBe(5);
    expect(stages.every(({ left, done }) => left === 0 && done > 0)).toBe(true);
    expect(rows[0]!.outcomes['auto']!.timing!.median).toBeGreaterThan(0);
    expect(await page.evaluate(() => window.devices.length)).toBe(before + 6); // The first, and one after each.
    expect(await text('#check-verdict')).toMatch(/^Not right: \d+ results .* but work failed 5 times/);
  });
});

test('it stops when it is told to, and when another tab is shown', async () => {
  let looked = false;
  for (const stop of [() => pressed('#check-stop'), () => page.click('#tab-explore')]) {
    await pressed('#check-run');
    await page.waitForFunction(() => /about/.test(document.querySelector('#check-left')?.textContent ?? ''));
    if (!looked) await isAccessible('during');
    looked = true;
    await stop();
    await state('done');
    expect(await text('#check-verdict')).toMatch(/It was stopped before its end\./);
    expect(await page.$eval('p#check-verdict', ({ dataset }) => dataset['verdict'])).toBe('pending');
  }
});

test('hidden, it waits; shown again, it goes on, and keeps the screen on until its end', async () => {
  await page.click('#tab-gpu-check');
  const locks = (count: number) => page.waitForFunction((wanted) => window.locks === wanted, {}, count);
  await pressed('#check-run');
  await page.waitForFunction(() => /about/.test(document.querySelector('#check-left')?.textContent ?? ''));
  await locks(1);
  const other = await page.browserContext().newPage();
  await other.bringToFront();
  await page.waitForFunction(() => document.visibilityState === 'hidden', { polling: 100 });
  await locks(0);
  await page.evaluate(() => window.devices.at(-1)!.destroy()); // As the system takes a GPU from who is hidden.
  const now = () => text('#check-now');
  await new Promise((resolve) => void setTimeout(resolve, 3000)); // The case that it was in.
  const before = await now();
  await new Promise((resolve) => void setTimeout(resolve, 1000));
  expect(await now()).toBe(before);
  await other.close();
  await page.bringToFront();
  await locks(1);
  await page.waitForFunction((last) => !['', last].includes(document.querySelector('#check-now')!.textContent), {},
    before); // The interrupted case has run again.
  await pressed('#check-stop');
  await state('done');
  await locks(0);
  const report = await reportOfPage();
  expect(report).toMatchObject({ failures: [], interruptions: 1 });
  expect(await text('#check-extent')).toContain('The page was hidden, or the machine asleep, once.');
});

test('a device that is refused: a report says so, and stays when another tab is shown', async () => {
  // Each of four times with all, fewer, and no features; the pauses between go by fast.
  await page.evaluate(() => Object.assign(window, { refusals: 12, haste: 500 }));
  const { right, printed } = await checkByJob();
  expect(right).toBe(false);
  expect(printed).toContain(
    '**No verdict: no device was to be had after 0 comparisons. A device was refused 4 times. It was a short check');
  const { failures, device, stages, rows } = written();
  expect(failures.map(({ kind, title, message }) => [kind, title, /not now/.test(message)]))
    .toEqual(Array(4).fill(['refused', 'a new device', true]));
  expect([device.kind, stages, rows]).toEqual(['unknown', [], []]);
  await page.click('#tab-explore');
  await page.click('#tab-gpu-check');
  expect(await text('#check-verdict')).toMatch(/^No verdict/);
  expect(await page.$eval('#check-times', (figures) => figures.checkVisibility())).toBe(false);
  expect(await text('#check-legend')).toBe('No layer was timed.');
});

const hasPs = spawnSync('ps', ['-e']).status === 0;
test.runIf(hasPs)('Ctrl+C stops the command: it reports, and leaves no browser', async () => {
  const browsers = (): number =>
    spawnSync('ps', ['-eo', 'args'], { encoding: 'utf8' }).stdout.split('\n')
      .filter((line) => line.includes('puppeteer_dev_chrome_profile') && !line.includes('--type=')).length;
  const before = browsers();
  const json = 'output/check-stopped.json';
  const child = spawn(
    'node_modules/.bin/tsx', ['demo/node/start.ts', '--check', '--no-serve', '--json', json],
    { detached: true, stdio: ['ignore', 'ignore', 'pipe'] }); // A group of its own, as a terminal gives it.
  const ended = new Promise<number | null>((resolve) => child.on('exit', resolve));
  await new Promise<void>((resolve) => {
    child.stderr.setEncoding('utf8').on('data', (line: string) => {
      if (line.includes('Kernels against the CPU')) resolve();
    });
  });
  process.kill(-child.pid!, 'SIGINT');
  expect(await ended).toBe(1);
  expect(JSON.parse(readFileSync(json, 'utf8'))).toMatchObject({ ended: 'stopped', failures: [] });
  expect(browsers()).toBe(before);
});

test('`npm start -- --check` refuses other jobs beside it, and says why there is no report', async () => {
  const words = ['--import', 'tsx', 'demo/node/start.ts', '--check', 'a.jpg'];
  const { status, stderr } = spawnSync(process.execPath, words, { encoding: 'utf8' });
  expect([status, stderr]).toEqual([1, 'npm start: --check takes no photo, and no other job beside it\n']);
  await page.evaluateOnNewDocument(() => Object.defineProperty(navigator, 'gpu', { value: undefined }));
  await page.reload();
  await expect(checkByJob()).rejects.toThrow(/WebGPU/);
});

test('nothing was sent, and no page error came up', () => {
  const { origin } = new URL(page.url());
  expect(requestsOf(page).length).toBeGreaterThan(50);
  expect(requestsOf(page).filter((url) => new URL(url).origin !== origin)).toEqual([]);
  expect(errors).toEqual([]);
});
