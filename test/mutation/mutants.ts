/** Small defects, each of which the tests must notice. */
export interface Mutant {
  readonly defect: string;
  /** From the project's root. */
  readonly file: string;
  /** Text that the file has exactly once. */
  readonly text: string;
  readonly instead: string;
  /** What is run: files of tests, and a pattern of their names. */
  readonly tests: readonly string[];
  readonly names?: string;
}

const pure = ['test/geometry.test.ts', 'test/reference.test.ts'];
const kernels = ['test/kernels.test.ts'];
const each = 'each kernel against its stage';
const api = ['test/api.test.ts'];
const inBands = { tests: kernels, names: 'in bands' };

export const mutants: readonly Mutant[] = [
  { defect: 'SAME puts the odd row before', file: 'src/arguments/geometry.ts', text: 'Math.floor(Math.max((out', instead: 'Math.ceil(Math.max((out', tests: pure },
  { defect: 'VALID rounds up', file: 'src/arguments/geometry.ts', text: 'Math.floor((size + before', instead: 'Math.ceil((size + before', tests: pure },
  { defect: 'strides swapped', file: 'src/arguments/geometry.ts', text: 'const [SH, SW] = resolveStrides', instead: 'const [SW, SH] = resolveStrides', tests: pure },
  { defect: 'rate ignored in the extent', file: 'src/arguments/geometry.ts', text: 'const effective = (k - 1) * rate + 1;', instead: 'const effective = k + 0 * rate;', tests: pure },
  { defect: 'C*M = O refused', file: 'src/arguments/geometry.ts', text: 'M * C > O)', instead: 'M * C >= O)', tests: pure },
  { defect: 'rate with one stride accepted', file: 'src/arguments/geometry.ts', text: '(SH > 1 || SW > 1)', instead: '(SH > 1 && SW > 1)', tests: pure },
  { defect: 'float16 rounds half down', file: 'src/gpu/float16.ts', text: '0xfff + odd', instead: '0xfff', tests: ['test/float16.test.ts'] },

  { defect: 'halo of a band one row short', file: 'src/plan/bands.ts', text: '(to - from - 1) * SH + effective,', instead: '(to - from - 1) * SH + effective - 1,', ...inBands },
  { defect: "a band keeps the whole's padding", file: 'src/plan/bands.ts', text: 'padTop: first - above', instead: 'padTop: geometry.padTop', ...inBands },
  { defect: "a band's output starts at its image", file: 'src/plan/bands.ts', text: 'outputStart: (n * OH + from) * outputRow', instead: 'outputStart: (n * OH) * outputRow', ...inBands },
  { defect: 'a slice of channels starts at the first', file: 'src/plan/bands.ts', text: 'outputStart: band.outputStart + from,', instead: 'outputStart: band.outputStart,', tests: api, names: 'in bands' },
  { defect: 'what precedes a band in its binding is not skipped', file: 'src/plan/forward.ts', text: '(from - offset) / bytes];', instead: '0];', ...inBands },
  { defect: 'the second dimension of a grid dropped', file: 'src/plan/dispatch.ts', text: 'return [x, y];', instead: 'return [x, 1];', tests: kernels, names: 'grids beyond' },
  { defect: 'columns of a filter slice from the first', file: 'src/gpu/program.ts', text: 'matrix.subarray(row * total + offset, row * total + offset + size)', instead: 'matrix.subarray(row * total, row * total + size)', tests: api, names: 'in bands' },

  { defect: 'incomplete tiles of a column not dispatched', file: 'src/kernels/cuts.ts', text: 'down: N * RH * Math.ceil(', instead: 'down: N * RH * Math.floor(', tests: kernels, names: each },
  { defect: 'incomplete tiles of columns not dispatched', file: 'src/kernels/cuts.ts', text: 'Math.ceil(pixels / TILE_PIXELS) * tiles', instead: 'Math.floor(pixels / TILE_PIXELS) * tiles', tests: kernels, names: each },
  { defect: 'incomplete tiles of a row taken for full', file: 'src/kernels/cuts.ts', text: 'fullW: g.OW % (TILE_W * g.RW) === 0', instead: 'fullW: true', tests: kernels, names: each },
  { defect: 'incomplete tiles of output channels taken for full', file: 'src/kernels/cuts.ts', text: 'g.O % (COLUMNS * 4 * QUAD) === 0', instead: 'g.O > 0', tests: kernels, names: each },
  { defect: 'vector loads of channels not divisible by 4', file: 'src/kernels/cuts.ts', text: 'M === 1 && C % 4 === 0 ? 4 : 1', instead: 'M === 1 && C % 2 === 0 ? 4 : 1', tests: kernels, names: each },

  { defect: 'depthwise: a filter row for all', file: 'shaders/depthwise.wgsl', text: '+ (i * p.KW + j) * p.TAP_STEP', instead: '+ j * p.TAP_STEP', tests: kernels, names: each },
  { defect: 'depthwise: no check of the right border', file: 'shaders/depthwise.wgsl', text: 'insideY & (u32(x) < u32(p.W))', instead: 'insideY', tests: kernels, names: each },
  { defect: "depthwise: W's rate along H", file: 'shaders/depthwise.wgsl', text: '+ CARRIED + v) * p.RH', instead: '+ CARRIED + v) * p.RW', tests: kernels, names: each },
  { defect: 'depthwise: shared rows stay where they were', file: 'shaders/depthwise.wgsl', text: 'window[v] = window[v + FRESH];', instead: '', tests: kernels, names: each },
  { defect: 'depthwise: shared rows of the first outputs not loaded', file: 'shaders/depthwise.wgsl', text: 'var t = -LEAD;', instead: 'var t = 0;', tests: kernels, names: each },
  { defect: 'depthwise: taps of the first round for all', file: 'shaders/depthwise.wgsl', text: '(a * TAPS_H + i) * p.KW', instead: 'i * p.KW', tests: kernels, names: each },
  { defect: 'depthwise: bias of the first channel', file: 'shaders/depthwise.wgsl', text: 'Lanes(bias[k])', instead: 'Lanes(bias[0])', tests: kernels, names: each },
  { defect: 'depthwise: padded channels not zero', file: 'shaders/depthwise.wgsl', text: 'p.depthwiseAlpha), pack < filterPacks)', instead: 'p.depthwiseAlpha), true)', tests: kernels, names: each },
  { defect: 'pointwise: the last four k dropped', file: 'shaders/pointwise.wgsl', text: 'k < p.K_STRIDE;', instead: 'k < p.K_STRIDE - STEP;', tests: kernels, names: each },
  { defect: 'pointwise: a pixel too many stored', file: 'shaders/pointwise.wgsl', text: '(pixel + r < p.PIXELS)', instead: '(pixel + r <= p.PIXELS)', tests: kernels, names: each },
  { defect: 'pointwise-quad: two lanes swapped', file: 'shaders/pointwise-quad.wgsl', text: 'quadSwapY(x)', instead: 'quadSwapX(x)', tests: kernels, names: each },
  { defect: 'pointwise-quad: weights not in the order of the lanes', file: 'shaders/pointwise-quad.wgsl', text: '(lane ^ i)) + 0.5)', instead: 'i) + 0.5)', tests: kernels, names: each },
  { defect: 'pointwise-quad: the same 4 k in all steps', file: 'shaders/pointwise-quad.wgsl', text: 'input[pixelStart + own[s]]', instead: 'input[pixelStart + own[0]]', tests: kernels, names: each },
  { defect: 'pointwise-quad: k beyond the last from the next pixel', file: 'shaders/pointwise-quad.wgsl', text: 'inside[s] = k < p.K;', instead: 'inside[s] = true;', tests: kernels, names: each },
  { defect: 'pointwise-quad: sums begun anew in every block', file: 'shaders/pointwise-quad.wgsl', text: 'last), block > 0)', instead: 'last), false)', tests: kernels, names: each },
  { defect: 'pointwise-quad: activation in every block', file: 'shaders/pointwise-quad.wgsl', text: 'block + QUAD * STEPS >= p.K;', instead: 'true;', tests: kernels, names: each },
  { defect: 'filter-texture: never transposed', file: 'shaders/filter-texture.wgsl', text: '* p.COLUMN_STRIDE]', instead: '* 1]', tests: ['test/gradients.test.ts'] },
  { defect: 'the gradient of stride 1 by the filter as it is', file: 'src/plan/backward.ts', text: 'FIRST_TAP: KH * KW - 1, TAP_STEP: -1', instead: 'FIRST_TAP: 0, TAP_STEP: 1', tests: ['test/gradients.test.ts'] },
  { defect: "the gradient of stride 1 with the pass's own padding", file: 'src/plan/backward.ts', text: 'padTop: (KH - 1) * RH - padTop', instead: 'padTop', tests: ['test/gradients.test.ts'] },
  { defect: "a caller's filter copied once only", file: 'src/plan/forward.ts', text: "!borrowed.has('pointwiseFilter')),", instead: 'true),', tests: api, names: 'read at every run' },
  { defect: 'pointwise-tiled: k beyond the last not zero', file: 'shaders/pointwise-tiled.wgsl', text: 'step < steps);', instead: 'true);', tests: kernels, names: each },
  { defect: 'fused: one column of weights for all', file: 'shaders/fused.wgsl', text: 'column[j] = min(pack + j, packs - 1)', instead: 'column[j] = pack', tests: kernels, names: each },
  { defect: 'fused: stride along H ignored', file: 'shaders/fused.wgsl', text: 'oy * p.SH', instead: 'oy', tests: kernels, names: each },
  { defect: 'fused-quad: k beyond the last not zero', file: 'shaders/fused-quad.wgsl', text: 'block + s * QUAD + lane < p.K;', instead: 'true;', tests: kernels, names: each },
  { defect: 'fused-quad: begun rows stay where they were', file: 'shaders/fused-quad.wgsl', text: 'd[s][r] = d[s][r + 1];', instead: '', tests: kernels, names: each },
  { defect: 'fused-quad: rows that the first outputs read not loaded', file: 'shaders/fused-quad.wgsl', text: 'var t = -LEAD;', instead: 'var t = 0;', tests: kernels, names: each },
  { defect: 'fused-quad: the last pixel of a row for all', file: 'shaders/fused-quad.wgsl', text: 'd[s][0][i], w == i)', instead: 'd[s][0][i], true)', tests: kernels, names: each },
  { defect: 'fused-quad: taps of the first step for all', file: 'shaders/fused-quad.wgsl', text: 'min(block + i % STEPS * QUAD + lane', instead: 'min(block + lane', tests: kernels, names: each },
  { defect: 'fused-quad: sums begun anew in every block', file: 'shaders/fused-quad.wgsl', text: 'last), block > 0)', instead: 'last), false)', tests: kernels, names: each },
  { defect: 'fused-quad: activation in every block', file: 'shaders/fused-quad.wgsl', text: 'block + QUAD * STEPS >= p.K;', instead: 'true;', tests: kernels, names: each },
  { defect: 'fused-tiled: no check of the last column', file: 'shaders/fused-tiled.wgsl', text: 'ox < p.OW && ', instead: '', tests: kernels, names: each },
  { defect: 'fused-tiled: taps beyond the filter not zero', file: 'shaders/fused-tiled.wgsl', text: 'select(Lanes(0.0), tap, dj + j < p.KW)', instead: 'tap', tests: kernels, names: each },
  { defect: 'silu far below 0 not clamped', file: 'shaders/activations.wgsl', text: 'max(x, T(-80.0)) /', instead: 'x /', tests: kernels, names: 'silu_of_huge' },
  { defect: 'silu slopes by a difference of large numbers', file: 'shaders/derivatives.wgsl', text: '(1.0 + clamp(x, T(-80.0), T(80.0)) / (1.0 + exp(clamp(x, T(-80.0), T(80.0)))))', instead: '(1.0 + x - x / (1.0 + exp(min(-x, T(80.0)))))', tests: ['test/gradients.test.ts'], names: 'silu_of_large' },
  { defect: 'hardSwish multiplies by 6 first', file: 'shaders/activations.wgsl', text: 'x * (clamp(x + 3.0, T(0.0), T(6.0)) / 6.0)', instead: 'x * clamp(x + 3.0, T(0.0), T(6.0)) / 6.0', tests: kernels, names: 'hardSwish_beyond' },
  { defect: 'relu6 up to 7', file: 'shaders/activations.wgsl', text: 'clamp(x, T(0.0), T(6.0)); }\nfn leakyRelu', instead: 'clamp(x, T(0.0), T(7.0)); }\nfn leakyRelu', tests: kernels, names: 'activation_relu6' },

  { defect: 'bind groups of another input', file: 'src/gpu/bindings.ts', text: '${value} ${number} ${offset}', instead: '${value} ${offset}', tests: api },
  { defect: 'pooled buffers given to two at once', file: 'src/gpu/buffers.ts', text: 'this.#free.splice(index, 1)', instead: 'this.#free.slice(index, index + 1)', tests: api },
  { defect: 'too small a buffer between the passes', file: 'src/gpu/buffers.ts', text: 'buffer.size >= byteLength && !this.#broken', instead: 'buffer.size > 0 && !this.#broken', tests: ['test/faults.test.ts'], names: 'encodes of several' },
  { defect: 'one pipeline for all variants of a kernel', file: 'src/gpu/pipelines.ts', text: 'this.#pipelines.get(variant.name)', instead: 'this.#pipelines.get(variant.kernel)', tests: api },
  { defect: 'tables of another version are trusted', file: 'src/tuning.ts', text: 'agrees(given(saved, name), value))', instead: "(name === 'version' || agrees(given(saved, name), value)))", tests: api, names: 'tuning' },
  { defect: 'tables of a device with other features are trusted', file: 'src/tuning.ts', text: 'agrees(given(saved, name), value))', instead: "(name === 'device' || agrees(given(saved, name), value)))", tests: api, names: 'a table is of one kind' },
  { defect: 'a choice that a device cannot run is taken', file: 'src/tuning.ts', text: 'strategy === choice.strategy && preset === choice.preset)', instead: 'strategy === choice.strategy || preset !== choice.preset)', tests: api, names: 'a table is of one kind' },
  { defect: 'time of work that failed counts', file: 'src/tuning.ts', text: 'if (time === undefined) return undefined;', instead: 'if (time === undefined) { best ??= { choice, time: 0 }; continue; }', tests: api, names: 'an error of measured work' },
  { defect: 'warmUp without the table', file: 'src/manager.ts', text: 'this.#tuning?.plansOf(call) ?? ', instead: '', tests: api, names: 'warmUp compiles what' },
  { defect: 'ranges that overlap are taken', file: 'src/gpu/bindings.ts', text: 'if (apart || other === target) continue;', instead: 'continue;', tests: api, names: 'in place in bands' },
  { defect: 'one buffer read and written by one dispatch is taken', file: 'src/gpu/bindings.ts', text: 'if (theirs.get(value)?.buffer !== to.buffer) continue;', instead: 'continue;', tests: api, names: 'an arena' },
  { defect: 'filters are taken for used up after their last step', file: 'src/gpu/bindings.ts', text: '!lasting(other) && ', instead: '', tests: api, names: 'an arena' },
  { defect: 'broken memory is given on', file: 'src/gpu/program.ts', text: "release(buffer, broken === 'broken')", instead: 'release(buffer)', tests: ['test/faults.test.ts'], names: 'memory that was not there' },
  { defect: 'only the best strategy is tried', file: 'src/plan/forward.ts', text: 'if (other && ', instead: 'if (false && other && ', tests: api, names: 'takes the strategy' },
  { defect: 'textures of 8192 everywhere', file: 'src/kernels/cuts.ts', text: 'K <= texels && ', instead: 'K <= 8192 && ', tests: ['test/presets.test.ts'] },
  { defect: 'shared memory is uploaded as it is', file: 'src/gpu/program.ts', text: 'return plain ? data', instead: 'return plain || true ? data', tests: api, names: 'data in memory' },
];
