import process from 'node:process';
import { expect, test } from 'vitest';
import { implementations } from '../implementations.js';
import { emptyTally, fuzzFamily, type Tally } from './fuzz.js';

/** What test/fuzz/run.ts asks for. */
const { seed, minutes, geometries, names } = JSON.parse(process.env['FUZZ']!) as {
  seed: number; minutes: number; geometries: number; names: (keyof typeof implementations)[];
};
const MOST_FAILURES = 5;

/** With these seeds an implementation repeats what it did among others. */
test.concurrent.for([...names.entries()])('%s', async ([index, name]) => {
  const implementation = await implementations[name]();
  const tally = emptyTally();
  const start = performance.now();
  const elapsed = () => (performance.now() - start) / 60_000;
  const summary = ({ families, geometries: done, comparisons, refused, worst, overflowing, failures }: Tally) =>
    `${implementation.name}: ${done} geometries in ${families} families, ${comparisons} comparisons, ${elapsed().toFixed(1)} minutes, worst error `
    + `${worst.toFixed(3)} of its tolerance, ${(100 * overflowing).toFixed(2)} % of elements may overflow, ${refused} refused, ${failures.length} failures`;
  try {
    const environment = await implementation.evaluate('environment');
    let shown = 0;
    for (let next = seed + index; elapsed() < minutes && tally.geometries < geometries / names.length; next += names.length) {
      await fuzzFamily(implementation, environment, next, tally);
      for (const failure of tally.failures.slice(shown)) console.error(`${name} FAILS, npm run fuzz -- --on ${name} --geometries 1 --seed ${failure}`);
      shown = tally.failures.length;
      if (shown >= MOST_FAILURES) break;
      if (tally.families % 10 === 1) console.log(summary(tally));
    }
  } finally {
    console.log(`${summary(tally)}; seed ${seed}`);
    await implementation.close();
  }
  expect(tally.failures).toEqual([]);
});
