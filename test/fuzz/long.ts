import process from 'node:process';
import { expect, test } from 'vitest';
import { implementations } from '../implementations.js';
import { emptyTally, fuzzArguments, fuzzFamily, type Tally } from './fuzz.js';

/** What test/fuzz/run.ts asks for. */
const { seed, minutes, geometries, names } = JSON.parse(process.env['FUZZ']!) as {
  seed: number; minutes: number; geometries: number; names: (keyof typeof implementations)[];
};
const MOST_FAILURES = 5;
/** Families between two rounds of wrong arguments, and their calls. */
const [ROUND, CALLS] = [10, 100];

const runs = [...names.entries()].map(([index, name]) => ({ index, name }));

test.concurrent.for(runs)('$name', async ({ index, name }) => {
  const implementation = await implementations[name]();
  const tally = emptyTally();
  const start = performance.now();
  const elapsed = () => (performance.now() - start) / 60_000;
  const summary = (t: Tally) =>
    `${implementation.name}, ${elapsed().toFixed(1)} minutes: `
    + `${t.geometries} geometries in ${t.families} families, ${t.comparisons} comparisons, `
    + `${t.arguments} wrong arguments, ${t.failures.length} failures; `
    + `worst error ${t.worst.toFixed(3)} of its tolerance, of wide values ${t.worstWide.toFixed(3)}; `
    + `${(100 * t.overflowing).toFixed(2)} % of elements may overflow, ${t.refused} geometries refused`;
  try {
    const environment = await implementation.evaluate('environment');
    let shown = 0;
    // Implementations take turns with the seeds; alone, one starts with the seed that it is given.
    const goesOn = () => elapsed() < minutes && tally.geometries < geometries / names.length;
    for (let next = seed + index; goesOn(); next += names.length) {
      if (tally.families % ROUND === 0) {
        console.log(summary(tally));
        await fuzzArguments(implementation, next, CALLS, tally);
      }
      await fuzzFamily(implementation, environment, next, tally);
      for (const failure of tally.failures.slice(shown)) {
        console.error(`${name} FAILS with --on ${name} --geometries 1 --seed ${failure}`);
      }
      shown = tally.failures.length;
      if (shown >= MOST_FAILURES) break;
    }
  } finally {
    console.log(`${summary(tally)}; seed ${seed}`);
    await implementation.close();
  }
  expect(tally.failures).toEqual([]);
});
