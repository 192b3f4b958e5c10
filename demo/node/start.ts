import { statSync } from 'node:fs';
import { basename, dirname, extname, resolve } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { Browser } from 'puppeteer';
import { createServer } from 'vite';
import { filters } from '../filters.js';
import { detectors } from '../networks/load.js';
import { launchBrowser } from './browser.js';
import { checkGpu } from './check-job.js';
import { type DetectJob, detectFaces } from './detect-job.js';
import { checkFilters, type FilterJob } from './filter-job.js';

const filterIds = filters.map(({ id }) => id);
const detectorIds = Object.keys(detectors) as DetectJob['detector'][];

const USAGE = `npm start -- [options] [photo ...]
npm start -- [options] photo picture.png
npm start -- --check [--json report.json]

Runs photos through the demo page on WebGPU in a headless browser, checks everything against the CPU, then serves the
page. There are two jobs:

  filters   every photo filter, fused and in two passes, on the first photo; one filtered picture is written
  faces     a face detector on every photo; a picture with the faces marked is written for each to output/

Both are done unless the arguments say which: --filter, or exactly a photo and the name of a .png to write, asks for the
filters; --detector or --json asks for the faces.

  photo            default: the sample photos
  picture.png      default: output/<photo>-<filter>.png
  --filter ID      the filter of the picture, default edges: ${filterIds.join(', ')}
  --detector ID    ${detectorIds.map((id) => `${id} (${detectors[id].label})`).join(' or ')}, default tiny
  --json FILE      also write the faces as JSON, boxes in the photo's pixels
  --check          instead of both: check and time the library on the device, in up to two minutes, and print a
                   report; --json FILE writes it
  --no-serve       exit after the jobs, with 1 if anything disagreed
  --port N         port of the page, default 5173 or the next free one
  --help`;

const root = fileURLToPath(new URL('../..', import.meta.url));
const samples = [1, 2, 3, 4, 5, 6].map((n) => `sample${n}.jpg`)
  .map((name) => ({ name, path: resolve(root, 'node_modules/@vladmandic/face-api/demo', name) }));

interface Arguments {
  readonly filterJob: FilterJob | undefined;
  readonly detectJob: DetectJob | undefined;
  /** Instead of the others, and where its report goes. */
  readonly checkJob: { readonly json: string | undefined } | undefined;
  readonly serve: boolean;
  readonly port: number | undefined;
}

function readArguments(): Arguments | undefined {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      'no-serve': { type: 'boolean', default: false },
      port: { type: 'string' },
      filter: { type: 'string' },
      detector: { type: 'string' },
      json: { type: 'string' },
      check: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return undefined;
  const { filter = 'edges', detector = 'tiny', json } = values;
  if (!filterIds.includes(filter)) throw new Error(`--filter must be one of ${filterIds.join(', ')}, got ${filter}`);
  const detectorId = detectorIds.find((id) => id === detector);
  if (detectorId === undefined) throw new Error(`--detector must be ${detectorIds.join(' or ')}, got ${detector}`);
  if (json !== undefined && !statSync(dirname(resolve(json)), { throwIfNoEntry: false })?.isDirectory()) {
    throw new Error(`--json names a file in a folder that does not exist: ${json}`);
  }
  const port = values.port === undefined ? undefined : Number(values.port);
  if (port !== undefined && !(Number.isInteger(port) && port >= 1 && port <= 65535)) {
    throw new Error(`--port must be a whole number from 1 to 65535, got ${values.port}`);
  }
  if (values.check) {
    if (positionals.length > 0 || values.filter !== undefined || values.detector !== undefined) {
      throw new Error('--check takes no photo, filter or detector');
    }
    return {
      filterJob: undefined, detectJob: undefined, checkJob: { json: json && resolve(json) },
      serve: !values['no-serve'], port,
    };
  }

  const wantsFaces = values.detector !== undefined || json !== undefined;
  const namesPicture = !wantsFaces && positionals.length === 2 && extname(positionals[1]!).toLowerCase() === '.png';
  const wantsFilters = values.filter !== undefined || namesPicture;
  if (wantsFaces && wantsFilters) {
    throw new Error('--filter is for one job, --detector and --json are for the other: ask for one at a time');
  }
  const photos = namesPicture ? positionals.slice(0, 1) : positionals;
  const missing = photos.find((photo) => !statSync(photo, { throwIfNoEntry: false })?.isFile());
  if (missing !== undefined) throw new Error(`There is no photo ${missing}`);
  if (wantsFilters && photos.length > 1) throw new Error(`The filters take one photo, got ${photos.join(' ')}`);

  const [photo] = photos;
  const name = photo === undefined ? 'sample1' : basename(photo, extname(photo));
  const picture = namesPicture ? resolve(positionals[1]!) : resolve(root, 'output', `${name}-${filter}.png`);
  return {
    filterJob: wantsFaces ? undefined : { photo: photo && resolve(photo), filter, picture },
    detectJob: wantsFilters ? undefined : {
      photos: photos.length === 0 ? samples : photos.map((path) => ({ name: path, path: resolve(path) })),
      detector: detectorId, json: json && resolve(json), output: resolve(root, 'output'),
    },
    checkJob: undefined, serve: !values['no-serve'], port,
  };
}

/** Serves the page, does the jobs, and says whether all agreed. */
async function start({ filterJob, detectJob, checkJob, serve, port }: Arguments): Promise<boolean> {
  const server = await createServer({
    root, logLevel: 'error', server: { host: '127.0.0.1', ...(port !== undefined && { port, strictPort: true }) },
  });
  let serving = false;
  try {
    await server.listen();
    const url = new URL('demo/', server.resolvedUrls?.local[0]).href;
    const agreed = await withBrowser(async (browser) => {
      console.log(`Browser   ${await browser.version()}`);
      if (checkJob !== undefined) return checkGpu(browser, url, checkJob.json);
      const filtersAgree = filterJob === undefined || await checkFilters(browser, url, filterJob);
      if (filterJob !== undefined && detectJob !== undefined) console.log('');
      const layersAgree = detectJob === undefined || await detectFaces(browser, url, detectJob);
      return filtersAgree && layersAgree;
    });
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

try {
  const args = readArguments();
  if (args === undefined) console.log(USAGE);
  else if (!(await start(args))) process.exitCode = 1;
} catch (error) {
  console.error(`npm start: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
