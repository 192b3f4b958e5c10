import { writeFileSync } from 'node:fs';
import { basename, extname, resolve } from 'node:path';
import type { Browser, Page } from 'puppeteer';
import type { Face } from '../networks/faces.js';
import { detectors, type DetectorId } from '../networks/load.js';
import { choosePhoto, openTab, reportOf, savePicture, settled, shortPath, textOf } from './drive.js';

export interface DetectJob {
  /** Paths, and what to call them in the results. */
  readonly photos: readonly { readonly name: string; readonly path: string }[];
  readonly detector: DetectorId;
  /** Where the results go as JSON. */
  readonly json: string | undefined;
  /** Folder of the annotated pictures. */
  readonly output: string;
}

/** One photo's result; boxes are in the photo's pixels. */
interface Result {
  readonly photo: string;
  readonly width: number;
  readonly height: number;
  readonly detector: DetectorId;
  readonly faces: readonly Face[];
  /** The largest difference of any layer from the CPU reference, relative to the layer's largest value. */
  readonly maxError: number;
}

/** Looks for faces in each photo and checks every layer on the CPU. Says whether all agreed. */
export async function detectFaces(
  browser: Browser, url: string, { photos, detector, json, output }: DetectJob,
): Promise<boolean> {
  const { page, complaints } = await openTab(browser, url, 'faces', 'detect');
  await page.$eval(`input[name=detector][value=${detector}]`, (radio) => radio.click());
  await settled(page, 'detect');
  console.log(`Adapter   ${await textOf(page, '#detect-adapter')}`);
  console.log(`Faces     by ${detectors[detector].label}; every layer checked on the CPU\n`);
  const results: Result[] = [];
  const pictures: string[] = [];
  let agreed = true;
  for (const { name, path } of photos) {
    await choosePhoto(page, 'detect-file', path);
    await settled(page, 'detect');
    const { faces, agrees, ...result } = await detectOnPage(page, name, detector);
    agreed &&= agrees;
    const { width, height, maxError, milliseconds } = result;
    results.push({ photo: name, width, height, detector, faces, maxError });
    console.log(`${name}: ${faces.length === 1 ? '1 face' : `${faces.length} faces`} in ${milliseconds.toFixed(0)} ms, `
      + `largest error of a layer ${maxError.toExponential(1)}${agrees ? '' : ', which DISAGREES'}`);
    for (const { score, box } of faces) {
      console.log(`  ${score.toFixed(3)}  at ${box.map((value) => value.toFixed(0)).join(', ')}`);
    }
    const picture = freeName(pictures, resolve(output, `${basename(name, extname(name))}-faces`));
    pictures.push(picture);
    await savePicture(page, 'found', picture);
  }
  console.log(`\nBoxes are x, y, width, height in the photo's pixels. Pictures: ${pictures.map(shortPath).join(', ')}`);
  if (json !== undefined) {
    writeFileSync(json, `${JSON.stringify(results, null, 2)}\n`);
    console.log(`Results   ${shortPath(json)}`);
  }
  await page.close();
  return agreed && complaints.length === 0;
}

async function detectOnPage(page: Page, name: string, detector: DetectorId) {
  await page.click('#verify');
  await page.waitForSelector('#layers-verdict:not([data-verdict=pending])', { timeout: 300_000 });
  const report = await reportOf(page, 'detect-report');
  if (report['maxError'] === undefined) throw new Error(`${name}: ${await textOf(page, '#layers-verdict')}`);
  if (report['detector'] !== detector) throw new Error(`${name}: the page ran ${report['detector']}, not ${detector}`);
  return {
    faces: JSON.parse(report['faces'] ?? '[]') as Face[],
    width: Number(report['width']), height: Number(report['height']), milliseconds: Number(report['milliseconds']),
    maxError: Number(report['maxError']), agrees: report['agrees'] === 'true',
  };
}

/** Photos of the same name from different folders get pictures of their own. */
function freeName(taken: readonly string[], base: string): string {
  for (let n = 1; ; n++) {
    const name = n === 1 ? `${base}.png` : `${base}-${n}.png`;
    if (!taken.includes(name)) return name;
  }
}
