import type { Browser, Page } from 'puppeteer';
import { filters } from '../filters.js';
import { choosePhoto, openTab, reportOf, savePicture, settled, shortPath, textOf } from './drive.js';

/** Small enough that the CPU, which computes everything a second time, needs only moments. */
const CHECK_SIZE = '512';
const PICTURE_SIZE = '2048';

export interface FilterJob {
  /** `undefined`: a sample. */
  readonly photo: string | undefined;
  /** The filter of the picture, and where it goes. */
  readonly filter: string;
  readonly picture: string;
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

/** Runs a photo through every filter, checks each on the CPU, and writes one picture. Says whether all agreed. */
export async function checkFilters(
  browser: Browser, url: string, { photo, filter, picture }: FilterJob,
): Promise<boolean> {
  const { page, complaints } = await openTab(browser, url, 'filters', 'photo');
  if (photo !== undefined) {
    await choosePhoto(page, 'file', photo);
    await settled(page, 'photo');
  }
  console.log(`Adapter   ${await textOf(page, '#adapter')}`);
  console.log(`Filters   of ${photo === undefined ? 'sample1.jpg' : shortPath(photo)}\n`);

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
  await savePicture(page, 'output', picture);

  const wrong = rows.filter(({ agrees }) => !agrees).length;
  const outcome = wrong === 0 ? `All ${rows.length} results agree` : `${wrong} of ${rows.length} results DISAGREE`;
  console.log(`\n${outcome} with the CPU reference.`
    + ' Errors are relative to the largest value; at most 2e-6 is allowed.');
  console.log(`Picture   ${shortPath(picture)}`);
  await page.close();
  return wrong === 0 && complaints.length === 0;
}

async function runOnPage(page: Page, filter: string, strategy: string, size: string): Promise<Row> {
  await page.evaluate((values) => {
    for (const [id, value] of Object.entries(values)) {
      document.querySelector<HTMLSelectElement>(`#${id}`)!.value = value;
    }
    document.querySelector('#filter')!.dispatchEvent(new Event('input', { bubbles: true }));
  }, { filter, strategy, size });
  await settled(page, 'photo');
  const report = await reportOf(page, 'report');
  return {
    filter: filters.find(({ id }) => id === filter)?.label ?? filter,
    shape: report['shape'] ?? '',
    strategy: strategy === 'auto' ? `${report['strategy']} (auto)` : report['strategy'] ?? '',
    milliseconds: Number(report['milliseconds']),
    maxError: Number(report['maxError']),
    agrees: report['agrees'] === 'true',
  };
}

function tableLine(
  filter: string, shape: string, strategy: string, time: string, error: string, verdict: string,
): string {
  const texts = [filter.padEnd(15), shape.padEnd(16), strategy.padEnd(16)];
  return [...texts, time.padStart(10), error.padStart(11), ` ${verdict}`].join(' ');
}

function rowLine({ filter, shape, strategy, milliseconds, maxError, agrees }: Row): string {
  const verdict = agrees ? 'agrees' : 'DISAGREES';
  return tableLine(filter, shape, strategy, `${milliseconds.toFixed(2)} ms`, maxError.toExponential(1), verdict);
}
