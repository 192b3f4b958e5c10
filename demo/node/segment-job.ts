import { writeFileSync } from 'node:fs';
import { encode } from 'fast-png';
import type { Browser, Page } from 'puppeteer';
import type * as BlurTab from '../blur-tab.js';
import { choosePhoto, openTab, reportOf, settled, shortPath, textOf, writePicture } from './drive.js';

export interface SegmentJob {
  readonly photo: string;
  /** Where the picture with its background blurred goes. */
  readonly picture: string;
  /** Where the network's mask goes, 256×256 in grey, a person in white; `undefined`: nowhere. */
  readonly mask: string | undefined;
}

/** Blurs a photo's background and checks every layer of the network on the CPU. Says whether all agreed. */
export async function blurBackground(
  browser: Browser, url: string, { photo, picture, mask }: SegmentJob,
): Promise<boolean> {
  const { page, complaints } = await openTab(browser, url, 'blur', 'background');
  await choosePhoto(page, 'blur-file', photo);
  await settled(page, 'background');
  console.log(`Adapter   ${await textOf(page, '#blur-adapter')}`);
  console.log(`Blur      of what is behind the people in ${shortPath(photo)}`);
  await page.click('#blur-verify');
  await page.waitForSelector('#blur-verdict:not([data-verdict=pending])', { timeout: 300_000 });
  console.log(`\n${await textOf(page, '#blur-verdict')}. ${await textOf(page, '#blur-verify-note')}.`);
  const result = await resultOf(page);
  const people = result.mask.filter((probability) => probability > 0.5).length / result.mask.length;
  console.log(`${(100 * people).toFixed(0)} % of the picture is people.`);
  writePicture(result.picture, picture);
  console.log(`Picture   ${shortPath(picture)}`);
  if (mask !== undefined) {
    const side = Math.sqrt(result.mask.length);
    const data = Uint8Array.from(result.mask, (probability) => Math.round(255 * probability));
    writeFileSync(mask, encode({ width: side, height: side, channels: 1, depth: 8, data }));
    console.log(`Mask      ${shortPath(mask)}`);
  }
  const { agrees } = await reportOf(page, 'blur-report');
  await page.close();
  return agrees === 'true' && complaints.length === 0;
}

/** What the tab shows: the picture as a data URL of a PNG, and the mask, row by row. */
const resultOf = (page: Page): Promise<{ picture: string; mask: number[] }> => page.evaluate(async () => {
  const path = new URL('./blur-tab.ts', location.href).href; // The page's own module, as it was loaded.
  const { currentResult } = (await import(path)) as typeof BlurTab;
  const { picture, mask } = await currentResult();
  const canvas = Object.assign(document.createElement('canvas'), { width: picture.width, height: picture.height });
  canvas.getContext('2d')!.putImageData(picture, 0, 0);
  return { picture: canvas.toDataURL('image/png'), mask: [...mask] };
});
