import { separableConv2dReference } from 'sepconv-webgpu/reference';
import type { CheckRequest, CheckResult } from './check.js';
import { compare } from './compare.js';

addEventListener('message', ({ data }: MessageEvent<CheckRequest>) => {
  const start = performance.now();
  const { input, depthwiseFilter, pointwiseFilter, options, actual } = data;
  const expected = separableConv2dReference(input, depthwiseFilter, pointwiseFilter, options);
  const difference = compare(actual.data, expected.data);
  const shapesAgree = actual.shape.join() === expected.shape.join();
  postMessage({
    ...difference, ...(!shapesAgree && { maxError: Infinity }), milliseconds: performance.now() - start,
  } satisfies CheckResult);
});
