import { expect, test } from 'vitest';
import { cases } from './cases.js';
import { implementations } from './implementations.js';
const small = cases.filter(({ name }) => !name.startsWith('large'));
test('x', { timeout: 600000 }, async () => {
  const c = await implementations.Chromium();
  const names = (process.env['P'] ?? 'gpuFewPixels').split(',');
  for (const limits of [{ maxComputeInvocationsPerWorkgroup: 16 }, { maxComputeInvocationsPerWorkgroup: 4 }, { maxComputeInvocationsPerWorkgroup: 64 }]) {
    const batch = limits.maxComputeInvocationsPerWorkgroup === 16 ? small : small.filter((_, i) => i % 5 === 0);
    const r = await c.evaluate('checkKernels', batch, names as never, 5, limits);
    console.log(r.length, r.filter((x) => /split/.test(x.title)).length, [...new Set(r.map((x) => /shuffled\d/.exec(x.title)?.[0]))].join());
    expect(r.flatMap(({ title, failure }) => failure ? [`${title} ${failure}`] : []).slice(0, 5)).toEqual([]);
  }
  await c.close();
});
