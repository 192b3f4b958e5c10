import { accessSync, constants, statSync } from 'node:fs';
import { basename, dirname, extname, resolve } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { Browser } from 'puppeteer';
import { createServer } from 'vite';
import { filters } from '../filters.js';
import { detectors } from '../networks/load.js';
import { launchBrowser } from './browser.js';
import { checkGpu, type CheckJob } from './check-job.js';
import { type DetectJob, detectFaces } from './detect-job.js';
import { shortPath } from './drive.js';
import { checkFilters, type FilterJob } from './filter-job.js';
import { blurBackground, type SegmentJob } from './segment-job.js';

const filterIds = filters.map(({ id }) => id);
const detectorIds = Object.keys(detectors) as DetectJob['detector'][];

const USAGE = `npm start -- [options] [photo ...]
npm start -- [options] photo picture.png
npm start -- --check [--all] [--seed N] [--json report.json]

Runs photos through the demo page on WebGPU in a headless browser, checks everything against the CPU, then serves the
page. There are three jobs:

  blur      the background behind the people of a photo is blurred; the picture is written
  filters   every photo filter, fused and in two passes, on the first photo; one filtered picture is written
  faces     a face detector on every photo; a picture with the faces marked is written for each to output/

All are done unless the arguments say which: --segment asks for the blur; --filter, or exactly a photo and the name of a
.png to write, for the filters; --detector or --json for the faces. Instead of them, --check checks the device.

  photo            default: the sample photos
  picture.png      default: output/<photo>-<filter>.png, or -blurred.png
  --segment        blurs the background of photo into picture.png
  --mask FILE      with --segment, also writes the network's mask, a PNG of 256x256 in grey, people in white
  --filter ID      the filter of the picture, default edges: ${filterIds.join(', ')}
  --detector ID    ${detectorIds.map((id) => `${id} (${detectors[id].label})`).join(' or ')}, default tiny
  --json FILE      also write the faces as JSON, boxes in the photo's pixels; with --check, the report
  --check          instead of all jobs: check and time the library on the device, in up to two minutes, and print a
                   report; Ctrl+C stops it and prints what was done
  --all            with --check, every case by every kernel, in some five minutes
  --seed N         with --check, draws what the report with that seed had
  --no-serve       exit after the jobs, with 1 if anything disagreed
  --port N         port of the page, default 5173 or the next free one
  --help`;

const root = fileURLToPath(new URL('../..', import.meta.url));
const samples = [1, 2, 3, 4, 5, 6].map((n) => `sample${n}.jpg`)
  .map((name) => ({ name, path: resolve(root, 'node_modules/@vladmandic/face-api/demo', name) }));

/** With four people, hair and a window. */
const BLURRED_SAMPLE = samples[5]!.path;

interface Arguments {
  readonly segmentJob: SegmentJob | undefined;
  readonly filterJob: FilterJob | undefined;
  readonly detectJob: DetectJob | undefined;
  /** Instead of the others. */
  readonly checkJob: CheckJob | undefined;
  readonly serve: boolean;
  readonly port: number | undefined;
}

function readArguments(): Arguments | undefined {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      'no-serve': { type: 'boolean', default: false },
      port: { type: 'string' },
      segment: { type: 'boolean', default: false },
      mask: { type: 'string' },
      filter: { type: 'string' },
      detector: { type: 'string' },
      json: { type: 'string' },
      check: { type: 'boolean', default: false },
      all: { type: 'boolean', default: false },
      seed: { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return undefined;
  const { filter = 'edges', detector = 'tiny', json, mask } = values;
  if (!filterIds.includes(filter)) throw new Error(`--filter must be one of ${filterIds.join(', ')}, got ${filter}`);
  const detectorId = detectorIds.find((id) => id === detector);
  if (detectorId === undefined) throw new Error(`--detector must be ${detectorIds.join(' or ')}, got ${detector}`);
  for (const [option, file] of Object.entries({ json, mask })) {
    if (file !== undefined && !statSync(dirname(resolve(file)), { throwIfNoEntry: false })?.isDirectory()) {
      throw new Error(`--${option} names a file in a folder that does not exist: ${file}`);
    }
  }
  const port = values.port === undefined ? undefined : Number(values.port);
  if (port !== undefined && !(Number.isInteger(port) && port >= 1 && port <= 65535)) {
    throw new Error(`--port must be a whole number from 1 to 65535, got ${values.port}`);
  }
  const seed = values.seed === undefined ? undefined : Number(values.seed);
  if (seed !== undefined && !(Number.isSafeInteger(seed) && seed > 0)) {
    throw new Error(`--seed must be a whole number above 0, got ${values.seed}`);
  }
  if (values.check) {
    const others = [values.filter, values.detector, mask, ...positionals, ...(values.segment ? ['--segment'] : [])];
    if (others.some((one) => one !== undefined)) throw new Error('--check takes no photo, and no other job beside it');
    checkWritten([], json === undefined ? [] : [resolve(json)]);
    return {
      segmentJob: undefined, filterJob: undefined, detectJob: undefined,
      checkJob: { all: values.all, seed, json: json && resolve(json) }, serve: !values['no-serve'], port,
    };
  }
  if (values.all || seed !== undefined) throw new Error('--all and --seed are for --check');

  const wantsFaces = values.detector !== undefined || json !== undefined;
  const wantsBlur = values.segment || mask !== undefined;
  const namesPicture = !wantsFaces && positionals.length === 2 && extname(positionals[1]!).toLowerCase() === '.png';
  const wantsFilters = values.filter !== undefined || (namesPicture && !wantsBlur);
  if ([wantsFaces, wantsFilters, wantsBlur].filter(Boolean).length > 1) {
    throw new Error('--segment and --mask are for one job, --filter is for another, --detector and --json are for a '
      + 'third: ask for one at a time');
  }
  const wantsAll = !wantsFaces && !wantsFilters && !wantsBlur;
  const photos = namesPicture ? positionals.slice(0, 1) : positionals;
  const missing = photos.find((photo) => !statSync(photo, { throwIfNoEntry: false })?.isFile());
  if (missing !== undefined) {
    const isPicture = photos.length === 2 && missing === photos[1] && !wantsFaces;
    throw new Error(isPicture ? `The picture that is written is a .png, got ${missing}`
      : `There is no photo ${missing}`);
  }
  if (photos.length > 1 && (wantsFilters || wantsBlur)) {
    throw new Error(`${wantsBlur ? '--segment takes' : 'The filters take'} one photo, got ${photos.join(' ')}`);
  }

  const written = [namesPicture ? positionals[1] : undefined, mask, json].filter((file) => file !== undefined);
  checkWritten(photos.map((one) => resolve(one)), written.map((one) => resolve(one)));
  const photo = photos[0] && resolve(photos[0]);
  const blurred = photo ?? BLURRED_SAMPLE;
  const pictureOf = (path: string, what: string): string => (namesPicture ? resolve(positionals[1]!)
    : resolve(root, 'output', `${basename(path, extname(path))}-${what}.png`));
  return {
    segmentJob: wantsAll || wantsBlur
      ? { photo: blurred, picture: pictureOf(blurred, 'blurred'), mask: mask && resolve(mask) } : undefined,
    filterJob: wantsAll || wantsFilters
      ? { photo, filter, picture: pictureOf(photo ?? samples[0]!.path, filter) } : undefined,
    detectJob: wantsAll || wantsFaces ? {
      photos: photos.length === 0 ? samples : photos.map((one) => ({ name: one, path: resolve(one) })),
      detector: detectorId, json: json && resolve(json), output: resolve(root, 'output'),
    } : undefined,
    checkJob: undefined, serve: !values['no-serve'], port,
  };
}

/** @throws Error where a file would be written over another, where a folder is, or where it may not be written */
function checkWritten(read: readonly string[], written: readonly string[]): void {
  for (const [i, path] of written.entries()) {
    if (read.includes(path)) throw new Error(`The photo ${shortPath(path)} would be written over`);
    if (written.indexOf(path) < i) throw new Error(`Two files would be written to ${shortPath(path)}`);
    const there = statSync(path, { throwIfNoEntry: false });
    if (there?.isDirectory()) throw new Error(`${shortPath(path)} is a folder`);
    try {
      accessSync(there ? path : dirname(path), constants.W_OK);
    } catch (cause) {
      throw new Error(`${shortPath(path)} may not be written`, { cause });
    }
  }
}

/** Serves the page, does the jobs, and says whether all agreed. */
async function start({ segmentJob, filterJob, detectJob, checkJob, serve, port }: Arguments): Promise<boolean> {
  const server = await createServer({
    root, logLevel: 'error', server: { host: '127.0.0.1', ...(port !== undefined && { port, strictPort: true }) },
  });
  let serving = false;
  try {
    await server.listen();
    const url = new URL('demo/', server.resolvedUrls?.local[0]).href;
    const agreed = await withBrowser(async (browser) => {
      console.log(`Browser   ${await browser.version()}`);
      const jobs = [
        ...(checkJob ? [() => checkGpu(browser, url, checkJob)] : []),
        ...(segmentJob ? [() => blurBackground(browser, url, segmentJob)] : []),
        ...(filterJob ? [() => checkFilters(browser, url, filterJob)] : []),
        ...(detectJob ? [() => detectFaces(browser, url, detectJob)] : []),
      ];
      let agree = true;
      for (const [i, job] of jobs.entries()) {
        if (i > 0) console.log('');
        agree = (await job()) && agree;
      }
      return agree;
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
