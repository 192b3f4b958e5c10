import type { Check, Reading } from './contender.js';
import { leastBytes, operations, tensors, type Workload } from './workloads.js';

/** A contender where it runs: in a page, or in this process. */
export interface Remote {
  readonly name: string;
  prepare(workload: Workload): Promise<Check>;
  time(repetitions: number): Promise<Reading>;
  release(): Promise<void>;
}

/** Milliseconds of one run, over the samples. */
export interface Timing {
  readonly median: number;
  readonly lower: number;
  readonly upper: number;
  readonly samples: readonly number[];
  /** Milliseconds of an empty dispatch before each sample, where the device's own clock counts. */
  readonly canaries?: readonly number[];
  /** How many of the samples were taken at a low clock. */
  readonly lowClock?: number;
}

export interface Outcome {
  readonly detail?: string;
  readonly maxError?: number;
  /** Why there is no timing. */
  readonly failure?: string;
  readonly timing?: Timing;
}

export interface Row {
  readonly workload: string;
  /** How often MobileNetV1 has the layer. */
  readonly layers: number;
  readonly operations: number;
  readonly leastBytes: number;
  readonly outcomes: Readonly<Record<string, Outcome>>;
}

/** So long a sample takes at least, in milliseconds, so that neither clocks nor submission count. */
const SAMPLE = 100;
/** Where the device's own clock counts, it has other work for so many milliseconds, while a sample is recorded. */
export const AHEAD = 40;

/** Runs that make a sample of so many milliseconds, by what one takes. */
export function repetitionsOf({ milliseconds, recording = 0 }: Reading, sample = SAMPLE): number {
  const enough = Math.min(1000, Math.ceil(sample / milliseconds));
  return Math.max(1, Math.min(enough, Math.floor(AHEAD / recording)));
}

/**
 * Prepares all contenders, then takes one sample of each in turn, so that a slow moment of the machine hits them alike.
 */
export async function measureRow(
  workload: Workload, contenders: readonly Remote[], samples: number, progress: (what: string) => void,
): Promise<Row> {
  const outcomes: Record<string, Outcome> = {};
  const ready: { readonly contender: Remote; readonly repetitions: number; readonly readings: Reading[] }[] = [];
  const attempt = async (contender: Remote, work: () => Promise<void>): Promise<void> => {
    await work().catch((error: unknown) => {
      outcomes[contender.name] = { ...outcomes[contender.name], failure: firstLine(error) };
    });
  };
  for (const contender of contenders) {
    progress(`${workload.name}: ${contender.name} is checked`);
    await attempt(contender, async () => {
      const check = await contender.prepare(workload);
      outcomes[contender.name] = check;
      if (check.failure !== undefined) return;
      await contender.time(1); // It may still warm up.
      ready.push({ contender, repetitions: repetitionsOf(await contender.time(1)), readings: [] });
    });
  }
  for (let sample = 0; sample < samples; sample++) {
    for (const { contender, repetitions, readings } of ready) {
      progress(`${workload.name}: sample ${sample + 1} of ${samples}, ${contender.name}`);
      await attempt(contender, async () => {
        readings.push(await contender.time(repetitions));
      });
    }
  }
  for (const { contender: { name }, readings } of ready) {
    if (readings.length < samples) continue;
    const canaries = readings.flatMap(({ canary }) => canary ?? []);
    const times = timing(readings.map(({ milliseconds }) => milliseconds));
    outcomes[name] = { ...outcomes[name], timing: { ...times, ...(canaries.length > 0 && { canaries }) } };
  }
  for (const contender of contenders) await attempt(contender, () => contender.release());
  const data = tensors(workload);
  return {
    workload: workload.name, layers: workload.layers, operations: operations(data),
    leastBytes: leastBytes(data), outcomes,
  };
}

export function timing(samples: readonly number[]): Timing {
  const sorted = samples.toSorted((a, b) => a - b);
  const quantile = (share: number): number => {
    const position = share * (sorted.length - 1);
    const [below, above] = [sorted[Math.floor(position)]!, sorted[Math.ceil(position)]!];
    return below + (above - below) * (position % 1);
  };
  return { median: quantile(0.5), lower: quantile(0.25), upper: quantile(0.75), samples };
}

export const firstLine = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).trim().split('\n')[0]!.slice(0, 200);
