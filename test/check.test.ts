import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { timing } from './bench/measure.js';
import { workloads } from './bench/workloads.js';
import { activations } from '../src/activations.js';
import { UnsupportedError } from '../src/arguments/errors.js';
import { boundedDepthwise, boundedSeparable } from './bounds.js';
import { cases, problem } from './cases.js';
import { stagesFor } from './check/check.js';
import { kernelItems } from './check/items.js';
import { type KnownReport, knownReports, README, withTable } from './check/known.js';
import { type Lab, LossError } from './check/lab.js';
import { markdownOf } from './check/markdown.js';
import {
  type CheckReport, type Failure, FAILURES, FORMAT, isWhole, isWrong, mobileNetShare, mobileNetTime, NO_DEVICE, verdict,
} from './check/report.js';
import { type Item, type Progress, type RunOptions, runStages, type Stage, weightOf } from './check/run.js';
import { pooled, Times } from './check/times.js';
import { compare, type Report, shareText } from './compare.js';
import { defaultProfile } from './plans.js';
import { depthwise } from '../src/reference.js';

/** What the check of a device does without one: its report, what it draws, how it runs. */

const SEED = 20261129;
const silu = (x: number): number => activations.silu(x);
const failure = (kind: Failure['kind']): Failure => ({ kind, title: 'case', message: 'why' });

/** Every layer takes 1 ms, a tuned one as told. */
const rowsWith = (tuned: number, tunedLayers = workloads.length): CheckReport['rows'] => {
  const time = (milliseconds: number) => ({ timing: timing([milliseconds]) });
  return workloads.map(({ name, layers, ...layer }, index) => ({
    workload: name, layers, layer, operations: 5e7, leastBytes: 1e8,
    outcomes: { auto: time(1), ...(index < tunedLayers && { tuned: time(tuned) }), naive: { failure: 'why' } },
  }));
};

/** Every layer takes 1 ms, a tuned one 0.8, and the ceilings would allow 0.5. */
function reportWith(more: Partial<CheckReport> = {}): CheckReport {
  return {
    format: FORMAT, date: '2026-11-29', environment: 'Browser 1',
    device: { name: 'a GPU', kind: 'gpu', features: ['subgroups'], limits: { maxBufferSize: 1 } },
    stages: [{ name: 'kernels', done: 3, left: 1, comparisons: 9, worst: 0.5, worstOf: 'c_prime f32' }],
    failures: [], clock: 'device',
    ceilings: { gflops: 100, gbytes: 1000, emptyDispatch: 0.001 },
    rows: rowsWith(0.8), ...more,
  };
}

describe('the verdict', () => {
  test.each<[string, Partial<CheckReport>, boolean, RegExp]>([
    ['right', {}, false,
      /^Right: all 9 results are as exact as they must be; the layers run at 50 % of what this device can do at best;/],
    ['tuning', {}, false, /measured tuning would make them 1\.25 times as fast\. Time was too short for 1 case\.$/],
    ['tuning of some layers', { rows: rowsWith(0.8, 2) }, false,
      /measured tuning would make the 2 layers that it tried 1\.25 times as fast\./],
    ['tuning that gains as much as times vary', { rows: rowsWith(0.98) }, false,
      /measured tuning would make them 1\.02 times as fast, no more than times vary\./],
    ['tuning that gains nothing', { rows: rowsWith(1.01, 1) }, false,
      /; measured tuning would gain nothing in 1 layer\./],
    ['short', { extent: 'short' }, false, / It was a short check, of a few cases\.$/],
    ['one wrong result', { failures: [failure('wrong')] }, true,
      /^Wrong: 1 of 9 results, by more than rounding explains; the layers run /],
    ['a loss', { failures: [failure('lost')] }, true, /^Not right: 9 results .* but work failed once;/],
    ['what a device lacks', { failures: [failure('unsupported')] }, false,
      /^Right: all 9 .* 1 case asked for more than this device has\./],
    ['no device', { ended: 'no device', rows: [] }, true,
      /^No verdict: no device was to be had after 9 comparisons\.$/],
    ['a wrong result, then no device', { failures: [failure('wrong')], ended: 'no device', rows: [] }, true,
      /^Wrong: 1 of 9 results, by more than rounding explains; then no device was to be had\.$/],
    ['a wrong result and a loss', { failures: [failure('wrong'), failure('lost')], rows: [] }, true,
      /^Wrong: 1 of 9 results, by more than rounding explains; work failed once\. /],
    ['a refused device', { failures: [failure('refused')], rows: [] }, false,
      /^Right: all 9 results are as exact as they must be\. A device was refused once\. /],
    ['a failure before any result', { failures: [failure('lost')], stages: [], rows: [] }, true,
      /^Not right: work failed once\.$/],
    ['nothing compared', { stages: [], rows: [] }, false, /^No verdict: nothing was compared\.$/],
    ['stopped', { ended: 'stopped', rows: [] }, false, /^Right: .* It was stopped before its end\.$/],
  ])('%s', (_, more, wrong, words) => {
    expect(verdict(reportWith(more))).toMatch(words);
    expect(isWrong(reportWith(more))).toBe(wrong);
    expect(isWhole(reportWith(more))).toBe(verdict(reportWith(more)).startsWith('Right') && more.ended === undefined);
  });

  test('a sum needs all 13 layers', () => {
    const report = reportWith();
    expect(mobileNetTime(report, 1)).toBe(13);
    expect(mobileNetShare(report, 1)).toBeCloseTo(0.5);
    expect(mobileNetTime({ ...report, rows: report.rows.slice(1) }, 1)).toBeUndefined();
    expect(mobileNetTime(report, 32)).toBeUndefined();
    expect(mobileNetTime(report, 1, 'naive')).toBeUndefined();
  });

  test('the Markdown has every failure, feature and limit', () => {
    const text = markdownOf(reportWith({ failures: [failure('hang')] }));
    for (const words of ['**hang**: case: `why`', 'subgroups', 'maxBufferSize 1', '| 14x14 512->512 |', '| failed |']) {
      expect(text).toContain(words);
    }
  });
});

test('the same kernels have the same time, by the samples of all that took them', () => {
  const ran = (detail: string, ...samples: number[]) => ({ detail, timing: { ...timing(samples), canaries: samples } });
  const [row] = rowsWith(1).map((one) => pooled({ ...one, outcomes: {
    'auto': ran('a + b', 9, 9), 'tuned': ran('a + b', 2), 'two-pass': ran('a + b', 4, 3), 'fused': ran('c', 1),
    'naive': { timing: timing([20]) },
  } }));
  const medians = Object.entries(row!.outcomes).map(([name, { timing: one }]) => [name, one!.median, one!.canaries]);
  const all = [9, 9, 2, 4, 3];
  expect(medians).toEqual([
    ['auto', 4, all], ['tuned', 4, all], ['two-pass', 4, all], ['fused', 1, [1]], ['naive', 20, undefined],
  ]);
});

describe('what is drawn', () => {
  const profile = { ...defaultProfile, kind: 'gpu' as const };
  const titles = (seed: number, pipelines: number) =>
    kernelItems(profile, seed, { pipelines, gradients: 0 }).map(({ title }) => title);

  test('follows from the seed alone', () => {
    expect(titles(1, 100)).toEqual(titles(1, 100));
    expect(titles(1, 100)).not.toEqual(titles(2, 100));
  });
  test('more pipelines are more of the same order', () => {
    const few = titles(3, 50);
    expect(titles(3, 200).slice(0, few.length)).toEqual(few);
  });
  test('every preset that suits the device is among a GPU\'s, in float16 too', () => {
    const drawn = titles(4, 400);
    const presets = new Set(drawn.map((title) => /\[(\w+)\]$/.exec(title)![1]));
    console.log(`${drawn.length} cases of 400 pipelines, by ${presets.size} presets`);
    expect([...presets].every((name) => name!.startsWith('gpu'))).toBe(true);
    expect(presets.size).toBeGreaterThan(9);
    expect(drawn.filter((title) => / f16 /.test(title)).length).toBeGreaterThan(drawn.length / 4);
  });
});

describe('how long it takes', () => {
  test.each([
    { kind: 'gpu', subgroups: true, shaderF16: true }, { kind: 'gpu', subgroups: false, shaderF16: false },
    { kind: 'software', subgroups: true, shaderF16: false }, { kind: 'software', subgroups: false, shaderF16: true },
  ] as const)('by the weights nothing is left out on $kind, subgroups $subgroups, f16 $shaderF16', (facts) => {
    const stages = stagesFor({ ...defaultProfile, ...facts }, 7, new Times());
    const [most, last] = [stages.reduce((sum, { seconds }) => sum + seconds, 0), stages.at(-1)!.items];
    for (const { name, items, seconds } of stages) expect(weightOf(items), name).toBeLessThanOrEqual(seconds);
    expect(most + Math.max(...last.map(({ weight }) => weight))).toBeLessThan(facts.kind === 'gpu' ? 120 : 70);
    const inWords = stages.map(({ name, items }) => `${items.length} of ${name} ${weightOf(items).toFixed(1)} s`);
    console.log(`${facts.kind}: ${inWords.join(', ')}`);
  });
});

describe('an error is all of its bound, but no more, where one step is all of it', () => {
  const problemOf = (wanted: string) => problem(cases.find(({ name }) => name === wanted)!, SEED);

  test('subnormal operands are taken for 0', () => {
    const exact = problemOf('values_subnormal');
    const { geometry: { N, OH, OW, K }, geometry, input, depthwiseFilter, depthwiseBias } = exact;
    const flush = (values: ArrayLike<number>) =>
      Float32Array.from(values, (value) => (Math.abs(value) < 2 ** -126 ? 0 : value));
    const result = flush(depthwise(geometry, flush(input), flush(depthwiseFilter), flush(depthwiseBias!)));
    expect(shareText(compare(result, boundedDepthwise(exact), [N, OH, OW, K], K).worst)).toBe('0.99');
  });
  test('silu below -80 is silu(-80)', () => {
    const { values, tolerances } = boundedSeparable(problemOf('activation_silu_o7'));
    const shares = [...values.entries()].filter(([, value]) => value <= 0 && value > silu(-80))
      .map(([i, value]) => (value - silu(-80)) / tolerances[i]!);
    expect(shares.length).toBeGreaterThan(0);
    expect(shareText(Math.max(...shares))).toBe('0.99');
  });
  test('a share is rounded away from 1', () => {
    expect([0.99999, 1, 1.0001, 12.34].map(shareText)).toEqual(['0.99', '1.00', '1.01', '12.34']);
  });
});

describe('how it runs', () => {
  let opened = 0;
  let destroyed = 0;
  const labWith = (trouble: Promise<never>, settled = () => Promise.resolve()) =>
    ({ trouble, settled, destroy: () => destroyed++ } as unknown as Lab);
  const lab = labWith(new Promise<never>(() => {}));
  const open = (): Promise<Lab> => {
    opened++;
    return Promise.resolve(lab);
  };
  const item = (title: string, run: Item['run'] = () => Promise.resolve([])): Item => ({ title, weight: 1, run });
  const never = (): Promise<never> => new Promise(() => {});
  const stage = (items: readonly Item[], seconds = 60): Stage =>
    ({ name: 'stage', items, all: 100, seconds, patience: 20 });
  const run = async (stages: readonly Stage[], more: Partial<RunOptions> = {}) => {
    const told: Progress[] = [];
    const log = await runStages(() => stages, {
      open, signal: new AbortController().signal, onProgress: (progress) => told.push(progress),
      onFailure: () => undefined, ...more,
    });
    return { ...log, told };
  };
  /** The same, in a time that goes as fast as it can. */
  const runFast: typeof run = async (...args) => {
    const running = run(...args);
    let ended = false;
    void running.finally(() => (ended = true));
    while (!ended) await vi.advanceTimersByTimeAsync(100);
    return running;
  };
  const wait = (milliseconds: number) => (): Promise<never[]> =>
    new Promise((resolve) => setTimeout(resolve, milliseconds, []));
  beforeEach(() => {
    vi.useFakeTimers();
    [opened, destroyed] = [0, 0];
  });
  afterEach(() => vi.useRealTimers());

  test('a result that is no number is infinitely wrong in JSON too', async () => {
    const report = { title: 'a f32', worst: Infinity, where: 'got NaN', failure: 'got NaN' };
    const { stages } = await runFast([stage([item('a', () => Promise.resolve([report]))])]);
    const [facts] = JSON.parse(JSON.stringify(stages)) as typeof stages;
    expect(shareText(facts!.worst)).toBe('Infinity');
  });

  test('a hang and an error are lines, and the next case has a new device', async () => {
    const log = await runFast([stage([
      item('a'), item('b', never), item('c', () => Promise.reject(new Error('odd'))), item('d'),
    ])]);
    expect(log.failures.map(({ kind, title }) => [kind, title])).toEqual([['hang', 'b'], ['error', 'c']]);
    expect(log.stages[0]).toMatchObject({ done: 4, left: 0 });
    expect([opened, destroyed]).toEqual([3, 3]);
  });
  test('the time of three hangs is given back, and no more', async () => {
    const hangs = Array.from({ length: 5 }, (_, i) => item(`hang ${i}`, never));
    const log = await runFast([stage([...hangs.slice(0, 3), item('a')], 1), stage([...hangs.slice(3), item('b')], 1)]);
    expect(log.stages.map(({ done, left }) => [done, left])).toEqual([[4, 0], [1, 2]]);
  });
  test('items are prepared ahead, and anew on a new device', async () => {
    const prepared: string[] = [];
    const work = (title: string, result = (): Promise<never[]> => Promise.resolve([])): Item =>
      ({ ...item(title, result), prepare: () => prepared.push(title) });
    const later = { ...lab } as Lab;
    const devices = [lab, later];
    await runFast(
      [stage([work('a'), work('b', () => Promise.reject(new Error('odd'))), work('c'), work('d')])],
      { open: () => Promise.resolve(devices.shift()!) });
    expect(prepared).toEqual(['a', 'b', 'c', 'd', 'c', 'd']);
  });
  test('what is left when the time is up is counted, and the next stage runs', async () => {
    const slow = item('slow', wait(2000));
    const log = await runFast([stage([slow, slow, slow], 1), stage([item('a')])]);
    expect(log.stages.map(({ done, left }) => [done, left])).toEqual([[1, 2], [1, 0]]);
    expect(log.ended).toBeUndefined();
  });
  test('what a stage leaves over of its time is the next one\'s', async () => {
    const slow = item('slow', wait(2000));
    const log = await runFast([stage([item('a')], 3), stage([slow, slow], 1)]);
    expect(log.stages.map(({ done, left }) => [done, left])).toEqual([[1, 0], [2, 0]]);
  });
  test('the estimate falls, and the share grows', async () => {
    const { told } = await runFast([stage([item('a', wait(100)), item('b', wait(100)), item('c')])]);
    const left = told.map(({ secondsLeft }) => secondsLeft);
    expect(left).toEqual(left.toSorted((a, b) => b - a));
    expect(told.at(-1)!.share).toBeGreaterThan(0);
  });

  describe('it stops', () => {
    test('in the middle of a case, which is not done then', async () => {
      const controller = new AbortController();
      const log = await runFast([stage([item('a', () => {
        controller.abort();
        return never();
      }), item('b')])], { signal: controller.signal });
      expect(log).toMatchObject({ ended: 'stopped', failures: [], stages: [{ done: 0, left: 2 }] });
    });
    test('in a pause before the next device is asked for', async () => {
      const controller = new AbortController();
      setTimeout(() => controller.abort(), 500);
      const log = await runFast([stage([item('a')])], {
        signal: controller.signal, open: () => Promise.reject(new UnsupportedError('no')),
      });
      expect(log.failures).toHaveLength(1);
      expect(log).toMatchObject({ ended: 'stopped', stages: [], seconds: 1 });
    });
    test('while it waits for its first device, which is destroyed when it comes', async () => {
      const controller = new AbortController();
      setTimeout(() => controller.abort(), 1000);
      const log = await runFast([stage([item('a')])], {
        signal: controller.signal, open: () => new Promise((resolve) => setTimeout(resolve, 5000, lab)),
      });
      expect(log).toMatchObject({ ended: 'stopped', failures: [], stages: [], seconds: 1 });
      await vi.advanceTimersByTimeAsync(5000);
      expect(destroyed).toBe(1);
    });
  });

  describe('errors that nothing awaits', () => {
    const later = (milliseconds: number) => new Promise<never>((_, reject) => {
      setTimeout(() => reject(new LossError('late')), milliseconds);
    });
    test('are those of the case that is not settled yet, whose comparisons are none', async () => {
      const labs = [labWith(later(5), async () => void await wait(10)()), lab];
      const compared = (): Promise<Report[]> => Promise.resolve([{ title: 'a', worst: 0.5, where: 'there' }]);
      for (const { trouble } of labs) trouble.catch(() => undefined);
      const log = await runFast(
        [stage([item('a', compared), item('b', compared)])], { open: () => Promise.resolve(labs.shift()!) });
      expect(log.failures).toEqual([{ kind: 'lost', title: 'a', message: 'late' }]);
      expect(log.stages).toMatchObject([{ done: 2, comparisons: 1 }]);
    });
    test('are told when they come after all cases', async () => {
      const one = labWith(later(500));
      one.trouble.catch(() => undefined);
      const log = await runFast([stage([item('a')])], { open: () => Promise.resolve(one) });
      expect(log.failures).toEqual([{ kind: 'lost', title: 'after all cases', message: 'late' }]);
    });
  });

  describe('without a device', () => {
    test('a first one that never comes', async () => {
      const asked: number[] = [];
      const start = Date.now();
      const log = await runFast([stage([item('a')])], {
        open: () => {
          asked.push((Date.now() - start) / 1000);
          return never();
        },
      });
      // Each is given 20 seconds, and the next one is asked for after a pause.
      expect(asked.slice(1).map((at, i) => Math.floor(at - asked[i]! - 20))).toEqual([1, 2, 4]);
      expect(log).toMatchObject({ ended: 'no device', stages: [] });
      expect(log.failures.map(({ kind, title }) => [kind, title])).toEqual(Array(4).fill(['hang', 'a new device']));
    });
    test('a first one that is refused once', async () => {
      let refused = 0;
      const log = await runFast([stage([item('a')])], {
        open: () => (refused++ === 0 ? Promise.reject(new UnsupportedError('no')) : open()),
      });
      expect(log.failures).toEqual([{ kind: 'refused', title: 'a new device', message: 'no' }]);
      expect(log.stages).toMatchObject([{ done: 1, left: 0 }]);
    });
    test('a later one: what was found before is kept, the rest is not done', async () => {
      const log = await runFast([stage([item('a'), item('b', () => Promise.reject(new Error('odd'))), item('c')])], {
        open: () => (opened === 0 ? open() : Promise.reject(new UnsupportedError('no'))),
      });
      expect(log.failures.map(({ title }) => title)).toEqual(['b', ...Array<string>(4).fill('a new device')]);
      expect(log).toMatchObject({ ended: 'no device', stages: [{ done: 2, left: 1 }] });
    });
  });

  describe('when the machine sleeps', () => {
    /** As a page that is frozen for an hour: no timer runs, and then all that are due. */
    const sleep = (): void => void vi.setSystemTime(Date.now() + 3_600_000);

    test('that is no hang, and its time does not count', async () => {
      let runs = 0;
      const log = await runFast([stage([item('a', () => {
        if (runs++ === 0) setTimeout(sleep, 1000);
        return wait(3000)();
      }), item('b')], 10)]);
      expect(log).toMatchObject({ failures: [], interruptions: 1, stages: [{ done: 2, left: 0 }] });
      expect([runs, log.seconds < 10]).toEqual([2, true]);
    });
    test('what was lost meanwhile runs again, on a new device', async () => {
      let runs = 0;
      const log = await runFast([stage([item('a', () => {
        if (runs++ > 0) return Promise.resolve([]);
        sleep();
        return Promise.reject(new LossError('asleep'));
      })])]);
      expect(log).toMatchObject({ failures: [], interruptions: 1, stages: [{ done: 1 }] });
      expect([runs, opened]).toEqual([2, 2]);
    });
    test('a device that is refused meanwhile is asked for again, and what is lost at the end is none', async () => {
      let asked = 0;
      const last = labWith(new Promise((_, reject) => {
        setTimeout(() => {
          sleep();
          reject(new LossError('asleep'));
        }, 500);
      }));
      last.trouble.catch(() => undefined);
      const log = await runFast([stage([item('a')])], {
        open: () => {
          if (asked++ > 0) return Promise.resolve(last);
          sleep();
          return Promise.reject(new UnsupportedError('asleep'));
        },
      });
      expect(log).toMatchObject({ failures: [], interruptions: 2, stages: [{ done: 1 }] });
      expect(asked).toBe(2);
    });
    test('a clock that is put back holds up no watchdog', async () => {
      const start = performance.now();
      const log = await runFast([stage([item('a', () => {
        vi.setSystemTime(Date.now() - 3_600_000);
        return never();
      })])]);
      expect(log.failures.map(({ kind }) => kind)).toEqual(['hang']);
      expect(performance.now() - start).toBeLessThan(25_000);
    });
    test('but not for ever, and a wrong result stays wrong', async () => {
      let runs = 0;
      const log = await runFast([stage([item('a', () => {
        runs++;
        sleep();
        return Promise.reject(new LossError('asleep'));
      }), item('b', () => {
        sleep();
        return Promise.resolve([{ title: 'b', worst: 2, where: 'there', failure: 'twice the tolerance' }]);
      })])]);
      expect(log.failures.map(({ kind, title }) => [kind, title])).toEqual([['lost', 'a'], ['wrong', 'b']]);
      expect([runs, log.interruptions]).toEqual([6, 5]);
    });
  });
});

describe('the reports that are kept', () => {
  const trial = (kernel: string, milliseconds: number) =>
    ({ strategy: 'fused' as const, presets: ['gpu' as const], kernels: [kernel], milliseconds, samples: 9 });
  const triedRows = rowsWith(0.8).map((row, index) => (index > 0 ? row : {
    ...row, outcomes: { ...row.outcomes, auto: { ...row.outcomes.auto, detail: 'fused' } },
    tried: [trial('fused', 5), trial('other', 1)],
  }));
  const reports = knownReports();
  test.each(reports.map((report) => [report.file, report] as const))('%s', (_, report: KnownReport) => {
    expect(report.format).toBe(FORMAT);
    for (const { kind } of report.failures) expect(FAILURES).toContain(kind);
    expect(verdict(report)).toMatch(/^(Right|Wrong|Not right|No verdict): /);
    const [time, share] = [mobileNetTime(report, 1), mobileNetShare(report, 1)];
    if (time !== undefined) expect(time).toBeGreaterThan(0);
    if (share !== undefined) expect(share).toBeGreaterThan(0);
    if (!/^(chromium|deno|firefox|h100)-/.test(report.file)) return; // A device that others added may fail.
    expect(report.failures).toEqual([]);
    expect(time).toBeGreaterThan(0);
    expect(share).toBeGreaterThan(0.01);
    expect(share).toBeLessThan(1);
  });
  test.each<[string, Partial<CheckReport>, string]>([
    ['with a failure', { failures: [failure('wrong')] }, '| **no**, 1 failure | 13.0 |'],
    ['without a device', { device: NO_DEVICE, ended: 'no device', stages: [], rows: [] },
      '| **no**, no device | — |'],
    ['stopped', { ended: 'stopped', rows: [] }, '| yes, 9 comparisons, stopped | — |'],
    ['short', { extent: 'short', rows: [] }, '| yes, 9 comparisons, short | — |'],
    ['whose model is wrong', { rows: triedRows }, '| 1.25x | 5.00x, 112x112 32->64 |'],
    ['whose caches are faster than its ceilings', { ceilings: { gflops: 1, gbytes: 1, emptyDispatch: 0.001 } },
      '| 13.0 | 10000 % |'],
    ['with an odd name', { device: { ...NO_DEVICE, name: 'GPU | new' } }, '| [GPU \\| new](reports/new.json) |'],
  ])('one %s is added as all are', (_, more, row) => {
    const added = { ...reportWith(more), file: 'new.json' };
    expect(withTable(readFileSync(README, 'utf8'), [...reports, added])).toContain(row);
    expect(markdownOf(added)).toContain(verdict(added));
  });
  test('the table of devices is theirs: npm run bench:devices', () => {
    const readme = readFileSync(README, 'utf8');
    expect(withTable(readme, reports)).toBe(readme);
  });
});
