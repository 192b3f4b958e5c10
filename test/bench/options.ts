import { withBatch, type Workload, workloads } from './workloads.js';

/** What both `npm run bench` and `npm run bench:node` understand, for parseArgs. */
export const commonOptions = {
  contenders: { type: 'string' },
  layers: { type: 'boolean', default: false },
  only: { type: 'string', default: '' },
  batch: { type: 'string' },
  samples: { type: 'string', default: '5' },
  json: { type: 'string' },
  help: { type: 'boolean', default: false },
} as const;

export const commonUsage = (contenders: readonly string[]): string => `\
  --contenders LIST  some of ${contenders.join(',')}
  --layers           only MobileNetV1's 13 layers
  --only REGEX       only the layers whose names match
  --batch N          all layers with so many images
  --samples N        samples of each, default 5
  --json FILE        writes all results`;

export interface Common {
  readonly contenders: readonly string[];
  readonly workloads: readonly Workload[];
  readonly samples: number;
}

interface Values {
  readonly contenders?: string | undefined;
  readonly layers: boolean;
  readonly only: string;
  readonly batch?: string | undefined;
  readonly samples: string;
}

/** @throws Error with one line that says what is wrong */
export function readCommon(
  { contenders, layers, only, batch, samples }: Values, known: readonly string[], all = workloads,
): Common {
  const names = contenders?.split(',') ?? known;
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined) throw new Error(`--contenders must be some of ${known.join(', ')}, got ${unknown}`);
  const pattern = regex(only);
  const images = batch === undefined ? undefined : positive('--batch', batch);
  const chosen = all
    .map((workload) => (images === undefined ? workload : withBatch(workload, images)))
    .filter((workload) => (!layers || workload.layers > 0) && pattern.test(workload.name))
    // With --batch two are one.
    .filter(({ name }, index, some) => some.findIndex((one) => one.name === name) === index);
  if (chosen.length === 0) {
    throw new Error(`No layer matches --only ${only}; there are ${all.map(({ name }) => name).join('; ')}`);
  }
  return { contenders: names, workloads: chosen, samples: positive('--samples', samples) };
}

function positive(option: string, text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new Error(`${option} must be a whole number from 1, got ${text}`);
  return value;
}

/** @throws Error with one line that says what is wrong */
export function regex(text: string): RegExp {
  try {
    return new RegExp(text);
  } catch {
    throw new Error(`--only must be a regular expression, got ${text}`);
  }
}

/** A line that the next one overwrites; on what is no terminal, nothing. */
export function progress(what: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r${what.slice(0, process.stderr.columns - 1)}\x1b[K`);
}
