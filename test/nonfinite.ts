import { type Activation, PipelineManager, separableConv2d, type Tensor4D } from 'sepconv-webgpu';
import { separableConv2dReference } from 'sepconv-webgpu/reference';
import { random, randomData } from './random.js';

/** What NaN and Inf come to on this device, which WGSL leaves open: a report, not a check. */

const SIZE = 5;
const CENTRE = 12;

interface Question {
  readonly what: string;
  /** One channel, 5x5 pixels. */
  readonly input?: Readonly<Record<number, number>>;
  /** 3x3 taps. */
  readonly tap?: Readonly<Record<number, number>>;
  readonly weight?: number;
  readonly activation?: Activation;
}

const ACTIVATIONS: readonly Activation[] = [
  'relu', 'relu6', { leakyRelu: 0.5 }, 'sigmoid', 'tanh', 'hardSwish', 'silu', 'elu',
];
const QUESTIONS: readonly Question[] = [
  { what: 'NaN in the input', input: { [CENTRE]: NaN } },
  { what: 'Inf in the input', input: { [CENTRE]: Infinity } },
  { what: 'Inf in the corner of the input, beside padding', input: { 0: Infinity } },
  { what: 'NaN in the corner of the input, beside padding', input: { 0: NaN } },
  { what: 'Inf and -Inf under one window', input: { 11: Infinity, 13: -Infinity } },
  { what: 'an Inf tap, outside the input at the border', tap: { 0: Infinity } },
  { what: 'a NaN tap, outside the input at the border', tap: { 0: NaN } },
  { what: 'an Inf weight of the pointwise filter', weight: Infinity },
  { what: 'a NaN weight of the pointwise filter', weight: NaN },
  { what: 'a sum beyond float32', input: { [CENTRE]: 3e38 }, weight: 1e4 },
  ...ACTIVATIONS.flatMap((activation) => [NaN, Infinity, -Infinity].map((value): Question => ({
    what: `${typeof activation === 'string' ? activation : 'leakyRelu'} of ${value}`,
    input: { [CENTRE]: value }, activation,
  }))),
];

/** One line for each question: how many elements are as in the reference, in kind, and the first that is not. */
export async function reportNonFinite(): Promise<string[]> {
  const manager = await PipelineManager.create();
  const lines: string[] = [];
  for (const { what, input = {}, tap = {}, weight, activation = 'linear' } of QUESTIONS) {
    const next = random(1);
    const tensor = (shape: Tensor4D['shape'], changes: Readonly<Record<number, number>>): Tensor4D => {
      const data = randomData(shape.reduce((a, b) => a * b, 1), next).map(Math.abs);
      for (const [i, value] of Object.entries(changes)) data[Number(i)] = value;
      return { shape, data };
    };
    const args = [
      tensor([1, SIZE, SIZE, 1], input), tensor([3, 3, 1, 1], tap),
      tensor([1, 1, 1, 4], weight === undefined ? {} : { 0: weight }),
    ] as const;
    const options = { padding: 'SAME', activation } as const;
    const { data: expected } = separableConv2dReference(...args, options);
    const answers: string[] = [];
    // They compile for seconds.
    for (const strategy of activation === 'linear' ? ['fused', 'two-pass'] as const : ['two-pass'] as const) {
      const { data } = await separableConv2d(...args, { ...options, strategy, manager });
      const other = [...data.keys()].filter((i) => kind(data[i]!) !== kind(expected[i]!));
      const [first] = other;
      answers.push(`${strategy} ${data.length - other.length} of ${data.length}`
        + (first === undefined ? '' : ` (element ${first}: ${data[first]}, not ${expected[first]})`));
    }
    lines.push(`${what}: as IEEE has it, ${answers.join('; ')}`);
  }
  manager.destroy();
  return lines;
}

const kind = (value: number): string => (Number.isFinite(value) ? 'finite' : String(value));
