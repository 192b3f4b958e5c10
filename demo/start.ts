import { mkdirSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, extname, relative, resolve, sep } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { Browser, Page } from 'puppeteer';
import { createServer } from 'vite';
import { launchBrowser } from './browser.js';
import { filters } from './filters.js';

const USAGE = `npm start -- [options] [photo [picture.png]]

Runs a photo through the demo page's filters on WebGPU in a headless browser, checks each against the CPU,
writes one filtered picture, then serves the page.

  photo            default: a sample photo
  picture.png      default: output/<photo>-<filter>.png
  --filter ID      the filter of the picture, default edges: ${filters.map(({ id }) => id).join(', ')}
  --no-serve       exit after the check, with 1 if anything disagreed
  --port N         port of the page, default 5173 or the next free one
  --help`;

/** Small enough that the CPU, which computes everything a second time, needs only moments. */
const CHECK_SIZE = '512';
const PICTURE_SIZE = '2048';
const TIMEOUT = 180_000;
const root = fileURLToPath(new URL('..', import.meta.url));

interface Arguments {
  readonly photo: string | undefined;
  readonly picture: string;
  readonly filter: string;
  readonly serve: boolean;
  readonly port: number | undefined;
}

/** One row of the table; numbers as the page reports them. */
interface Row {
  readonly filter: string;
  readonly shape: string;
  readonly strategy: string;
  readonly milliseconds: number;
  readonly maxError: number;
  readonly agrees: boolean;
}

function readArguments(): Arguments | undefined {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      'no-serve': { type: 'boolean', default: false },
      port: { type: 'string' },
      filter: { type: 'string', default: 'edges' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return undefined;
  const [photo, picture, ...rest] = positionals;
  if (rest.length > 0) throw new Error(`At most a photo and a picture can be given, got ${positionals.join(' ')}`);
  if (photo !== undefined && !statSync(photo, { throwIfNoEntry: false })?.isFile()) throw new Error(`There is no photo ${photo}`);
  const { filter } = values;
  if (!filters.some(({ id }) => id === filter)) {
    throw new Error(`--filter must be one of ${filters.map(({ id }) => id).join(', ')}, got ${filter}`);
  }
  const port = values.port === undefined ? undefined : Number(values.port);
  if (port !== undefined && !(Number.isInteger(port) && port >= 1 && port <= 65535)) {
    throw new Error(`--port must be a whole number from 1 to 65535, got ${values.port}`);
  }
  const name = photo === undefined ? 'sample1' : basename(photo, extname(photo));
  return {
    photo: photo && resolve(photo),
    picture: picture === undefined ? resolve(root, 'output', `${name}-${filter}.png`) : resolve(picture),
    filter, serve: !values['no-serve'], port,
  };
}

/** Serves the page, runs the photo through it, and says whether all agreed. */
async function start({ photo, picture, filter, serve, port }: Arguments): Promise<boolean> {
  const server = await createServer({
    root, logLevel: 'error', server: { host: '127.0.0.1', ...(port !== undefined && { port, strictPort: true }) },
  });
  let serving = false;
  try {
    await server.listen();
    const url = new URL('demo/', server.resolvedUrls?.local[0]).href;
    const agreed = await withBrowser((browser) => checkPhoto(browser, url, photo, filter, picture));
    if (serve) {
      console.log(`\nThe page: ${url}   (stop with Ctrl+C)`);
      serving = true;
    }
    return agreed;
  } finally {
    if (!serving) await server.close();
  }
}

async function withBrowser<T>(work: (browser: Browser) => Promise<T>): Promise<T> {
  const browser = await launchBrowser(console.log);
  try {
    return await work(browser);
  } finally {
    await browser.close();
  }
}

async function checkPhoto(
  browser: Browser, url: string, photo: string | undefined, filter: string, picture: string,
): Promise<boolean> {
  console.log(`Browser   ${await browser.version()}`);
  const page = await browser.newPage();
  const complaints = listen(page);
  await page.goto(`${url}#filters`);
  await settled(page);
  console.log(`Adapter   ${await textOf(page, '#adapter')}`);
  if (photo !== undefined) {
    const input = await page.waitForSelector('input#file');
    await input?.uploadFile(photo);
    await settled(page);
  }
  console.log(`Photo     ${photo ?? 'sample1.jpg'}\n`);

  const rows: Row[] = [];
  const row = async (id: string, strategy: string, size: string): Promise<void> => {
    rows.push(await runOnPage(page, id, strategy, size));
    if (rows.length === 1) console.log(tableLine('Filter', 'Output', 'Strategy', 'GPU time', 'Max error', 'Verdict'));
    console.log(rowLine(rows.at(-1)!));
  };
  for (const { id } of filters) {
    for (const strategy of ['fused', 'two-pass']) await row(id, strategy, CHECK_SIZE);
  }
  await row(filter, 'auto', PICTURE_SIZE);
  await savePicture(page, picture);

  const wrong = rows.filter(({ agrees }) => !agrees).length;
  console.log(`\n${wrong === 0 ? `All ${rows.length} results agree` : `${wrong} of ${rows.length} results DISAGREE`} with the CPU reference.`
    + ' Errors are relative to the largest value; at most 2e-6 is allowed.');
  console.log(`Picture   ${picture.startsWith(process.cwd() + sep) ? relative(process.cwd(), picture) : picture}`);
  return wrong === 0 && complaints.length === 0;
}

/** Repeats on stderr, and collects, whatever goes wrong in the page. */
function listen(page: Page): string[] {
  const complaints: string[] = [];
  const complain = (line: string): void => {
    complaints.push(line);
    console.error(`page: ${line}`);
  };
  page.on('pageerror', (error) => complain(error instanceof Error ? error.message : String(error)));
  page.on('error', ({ message }) => complain(message));
  page.on('console', (message) => {
    if (message.type() === 'error') complain(message.text());
  });
  page.on('requestfailed', (request) => complain(`${request.url()}: ${request.failure()?.errorText ?? 'failed'}`));
  return complaints;
}

/** Waits for the page's verdict on what its controls say. @throws Error with the page's message when it has none */
async function settled(page: Page): Promise<void> {
  const main = await page.waitForSelector('section#photo:not([data-state=working])', { timeout: TIMEOUT });
  const state = await main?.evaluate(({ dataset }) => dataset['state']);
  if (state === 'unsupported') throw new Error(await textOf(page, '#unsupported-reason'));
  if (state === 'failed') throw new Error(await textOf(page, '#error'));
}

async function runOnPage(page: Page, filter: string, strategy: string, size: string): Promise<Row> {
  await page.evaluate((values) => {
    for (const [id, value] of Object.entries(values)) document.querySelector<HTMLSelectElement>(`#${id}`)!.value = value;
    document.querySelector('#filter')!.dispatchEvent(new Event('input', { bubbles: true }));
  }, { filter, strategy, size });
  await settled(page);
  const report = Object.fromEntries(await page.$eval('section#report', (section) => Object.entries(section.dataset)));
  return {
    filter: filters.find(({ id }) => id === filter)?.label ?? filter,
    shape: report['shape'] ?? '',
    strategy: strategy === 'auto' ? `${report['strategy']} (auto)` : report['strategy'] ?? '',
    milliseconds: Number(report['milliseconds']),
    maxError: Number(report['maxError']),
    agrees: report['agrees'] === 'true',
  };
}

const tableLine = (filter: string, shape: string, strategy: string, time: string, error: string, verdict: string): string =>
  [filter.padEnd(15), shape.padEnd(16), strategy.padEnd(16), time.padStart(10), error.padStart(11), ` ${verdict}`].join(' ');

const rowLine = ({ filter, shape, strategy, milliseconds, maxError, agrees }: Row): string =>
  tableLine(filter, shape, strategy, `${milliseconds.toFixed(2)} ms`, maxError.toExponential(1), agrees ? 'agrees' : 'DISAGREES');

async function savePicture(page: Page, path: string): Promise<void> {
  const url = await page.$eval('canvas#output', (canvas) => canvas.toDataURL('image/png'));
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, Buffer.from(url.slice(url.indexOf(',') + 1), 'base64'));
}

const textOf = (page: Page, selector: string): Promise<string> =>
  page.$eval(selector, ({ textContent }) => textContent?.trim() ?? '');

try {
  const args = readArguments();
  if (args === undefined) console.log(USAGE);
  else if (!(await start(args))) process.exitCode = 1;
} catch (error) {
  console.error(`npm start: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
