import { type Extent, sweeps } from './fault-scenarios.js';
import { hostile } from './hostile-scenarios.js';
import { lifetimes, running, surviveCrash } from './lifetime-scenarios.js';
import { checkUncaptured, seedScenarios } from './scenarios.js';
import { sharing } from './sharing-scenarios.js';
import { caps, startSoak } from './soak.js';

/** Runs in a real browser: scenarios of failing devices, of sharing, and of hostile arguments. */

const scenarios: Readonly<Record<string, (extent: Extent) => Promise<unknown>>> = {
  ...sweeps, ...lifetimes, ...sharing, ...caps, ...hostile,
};

const unhandled: string[] = [];
addEventListener('unhandledrejection', ({ reason }) => unhandled.push(String(reason)));

/**
 * Runs one scenario with fresh random values; what it returns is for the log.
 * @throws for a rejection that nobody handled
 */
async function run(name: string, seed: number, extent: Extent = 'some methods'): Promise<unknown> {
  seedScenarios(seed);
  const result = await scenarios[name]!(extent);
  await checkUncaptured(); // By then rejections that nobody handles have come up too.
  const [first] = unhandled.splice(0);
  if (first !== undefined) throw new Error(`unhandled rejection: ${first}`);
  return result;
}

let soak: Awaited<ReturnType<typeof startSoak>>;
const reliability = {
  names: Object.keys(scenarios), run, running, surviveCrash,
  startSoak: async (seed: number) => void (soak = await startSoak(seed)),
  stepSoak: (runs: number) => soak.step(runs),
  endSoak: () => soak.end(),
};

declare global {
  interface Window { reliability: typeof reliability }
}
window.reliability = reliability;
