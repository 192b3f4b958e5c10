import { readdirSync, readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Page } from 'puppeteer';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openPage } from './browser.js';
import { hostile } from './hostile-scenarios.js';

const seed = Number(process.env['SEED'] ?? Date.now() % 1e9);
const dist = new URL('../dist/', import.meta.url);
const built = readdirSync(dist, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.js'));
const pageErrors: string[] = [];
let page: Page;

beforeAll(async () => {
  console.log(`Hostile scenarios: seed ${seed}`);
  page = await openPage('/test/reliability.html');
  page.on('pageerror', (error) => pageErrors.push(String(error)));
  await page.waitForFunction(() => 'reliability' in window);
});
afterAll(() => page.close());

test.each(Object.keys(hostile))('%s', async (name) => {
  await page.evaluate((n, s) => window.reliability.run(n, s), name, seed);
  expect(pageErrors.splice(0)).toEqual([]);
});

test('the build makes no code of strings, writes no markup, and has no way to the network or to storage', () => {
  expect(built).toContain('index.js');
  for (const file of built) {
    // Of its own files, named as they are, it may load one later.
    const source = readFileSync(new URL(file, dist), 'utf8')
      .replaceAll(/\bimport\("\.\/([\w/-]+\.js)"\)/g, (call, own: string) => (built.includes(own) ? '' : call));
    expect(source.length).toBeGreaterThan(400);
    expect(source, file).not.toMatch(
      /\beval\b|\bFunction\s*\(|\bimport\s*\(|importScripts|innerHTML|outerHTML|insertAdjacent|document\b/);
    expect(source, file).not.toMatch(
      /\bfetch\b|XMLHttpRequest|WebSocket|EventSource|sendBeacon|localStorage|indexedDB|\bcookie\b|postMessage/);
    for (const [, first] of source.matchAll(/\bset(?:Timeout|Interval)\s*\(\s*(\S)/g)) {
      expect(first, file).toMatch(/[\w(]/); // A function, no string.
    }
  }
});

/** No inline script, no eval, no WebAssembly, no connection: the strictest policy under which a script runs at all. */
const POLICY = "default-src 'none'; script-src 'self'; worker-src 'self'; require-trusted-types-for 'script'; "
  + "trusted-types test; base-uri 'none'; form-action 'none'";

const COMPUTE = `
  import { PipelineManager, separableConv2d } from './index.js';
  import { separableConv2dReference } from './reference.js';
  export async function compute() {
    const blocked = [];
    try { (0, eval)('1'); blocked.push('eval was let through'); } catch {}
    try { new Function('return 1')(); blocked.push('Function was let through'); } catch {}
    const tensor = (...shape) =>
      ({ shape, data: Float32Array.from({ length: shape.reduce((a, b) => a * b) }, () => Math.random() - 0.5) });
    const [x, d, p] = [tensor(1, 8, 8, 4), tensor(3, 3, 4, 1), tensor(1, 1, 4, 8)];
    let worst = 0;
    for (const strategy of ['fused', 'two-pass']) {
      const options = { padding: 'SAME', activation: 'tanh', strategy };
      const manager = await PipelineManager.create();
      const y = await separableConv2d(x, d, p, { ...options, manager });
      const expected = separableConv2dReference(x, d, p, { padding: 'SAME', activation: 'tanh' });
      y.data.forEach((value, i) => worst = Math.max(worst, Math.abs(value - expected.data[i])));
      manager.destroy();
    }
    return { blocked, worst };
  }`;

const FILES: Readonly<Record<string, string>> = {
  '/': '<!doctype html><meta charset="utf-8"><title>Strict</title><script type="module" src="page.js"></script>',
  '/compute.js': COMPUTE,
  '/worker.js': `import { compute } from './compute.js';
    compute().then((result) => postMessage(result), (error) => postMessage({ error: String(error) }));`,
  '/page.js': `import { compute } from './compute.js';
    window.violations = [];
    addEventListener('securitypolicyviolation', ({ violatedDirective, sourceFile }) =>
      violations.push(violatedDirective + ' ' + sourceFile));
    const url = trustedTypes.createPolicy('test', { createScriptURL: (text) => text }).createScriptURL('worker.js');
    const inWorker = new Promise((resolve, reject) => {
      const worker = new Worker(url, { type: 'module' });
      worker.onmessage = ({ data }) => resolve(data);
      worker.onerror = ({ message }) => reject(new Error(message));
    });
    window.results = Promise.all([compute(), inWorker]);`,
};

function serve(): Promise<Server> {
  const server = createServer(({ url = '/' }, response) => {
    const content = FILES[url]
      ?? (built.includes(url.slice(1)) ? readFileSync(new URL(url.slice(1), dist)) : undefined);
    const type = url === '/' ? 'text/html' : 'text/javascript';
    response.writeHead(content === undefined ? 404 : 200, {
      'content-type': type, 'content-security-policy': POLICY,
    }).end(content);
  });
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
}

test('works under a strict Content-Security-Policy, in a page and in its worker', async () => {
  const server = await serve();
  const strict = await page.browser().newPage();
  try {
    await strict.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    await strict.waitForFunction('window.results');
    const results = await strict.evaluate('results') as { blocked: string[]; worst: number }[];
    expect(results).toHaveLength(2);
    for (const { blocked, worst } of results) {
      expect(blocked).toEqual([]);
      expect(worst).toBeGreaterThan(0);
      expect(worst).toBeLessThan(1e-5);
    }
    const violations = await strict.evaluate('violations') as string[];
    // compute.js tries eval on purpose.
    expect(violations.filter((violation) => !/compute\.js/.test(violation))).toEqual([]);
  } finally {
    await strict.close();
    server.close();
  }
});
