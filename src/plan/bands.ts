import type { PlannedStrategy } from '../arguments/descriptor.js';
import { elementBytes, type Geometry } from '../arguments/geometry.js';
import { channelStride } from '../kernels/cuts.js';

/**
 * A part of a convolution that is a convolution itself: some images, or some output rows of one image with the input
 * rows that they read, for all output channels or some of them. `inputStart` and `outputStart` are its first elements
 * in the input and the output of the whole.
 */
export interface Band {
  readonly geometry: Geometry;
  readonly inputStart: number;
  readonly outputStart: number;
  /** Its first output channel. */
  readonly firstChannel: number;
}

/** What a range of a buffer must hold for a band's output, in elements: from its first to its last. */
export const outputSpan = ({ N, OH, OW, O, O_STRIDE }: Geometry): number =>
  Math.max(0, (N * OH * OW - 1) * O_STRIDE + O);

/**
 * Cuts a convolution into as few bands as possible, so that no tensor and no pointwise filter of a band exceeds `most`
 * bytes. Undefined when even one output row with the input rows that it reads, or the filter of the fewest channels, is
 * too large. The intermediate counts where it is stored. Bands of the same pixels follow each other, channels
 * ascending.
 */
export function bands(geometry: Geometry, most: number, strategy: PlannedStrategy): readonly Band[] | undefined {
  const spatial = spatialBands(geometry, most, strategy);
  if (strategy === 'depthwise') return spatial;
  const { K, O, dtype } = geometry;
  const channels = Math.floor(most / (K * elementBytes(dtype)));
  if (channels >= O) return spatial;
  const slice = O % 4 === 0 ? channels - (channels % 4) : channels; // Whole vectors, if O has them.
  if (slice < 1) return undefined;
  return spatial?.flatMap((band) => ranges(O, slice, slice).map(([from, to]) => ({
    ...band, geometry: { ...band.geometry, O: to - from }, outputStart: band.outputStart + from, firstChannel: from,
  })));
}

/** The same for all output channels, whatever the filter's size. */
export function spatialBands(
  geometry: Geometry, most: number, strategy: PlannedStrategy,
): readonly Band[] | undefined {
  const { N, H, W, C, KH, OH, OW, O_STRIDE, SH, RH } = geometry;
  const bytes = elementBytes(geometry.dtype);
  const [inputRow, outputRow] = [W * C, OW * O_STRIDE];
  const largestRow = Math.max(outputRow * bytes, strategy === 'two-pass' ? OW * channelStride(geometry) * 4 : 0);
  const images = Math.floor(most / Math.max(1, H * inputRow * bytes, OH * largestRow));
  if (images >= N) return [{ geometry, inputStart: 0, outputStart: 0, firstChannel: 0 }];
  if (images >= 1) {
    return ranges(N, images).map(([from, to]) => ({
      geometry: { ...geometry, N: to - from },
      inputStart: from * H * inputRow, outputStart: from * OH * outputRow, firstChannel: 0,
    }));
  }
  const effective = (KH - 1) * RH + 1;
  const inputRows = Math.floor(most / Math.max(1, inputRow * bytes));
  const rows = Math.min(
    Math.floor(most / Math.max(1, largestRow)),
    inputRows >= H ? OH : Math.floor((inputRows - effective) / SH) + 1,
  );
  if (rows < 1) return undefined;
  return Array.from({ length: N }, (_, n) => ranges(OH, rows).map(([from, to]): Band => {
    const above = from * SH - geometry.padTop; // The first input row that the band's first tap may read.
    const first = clamp(above, 0, Math.max(0, H - 1));
    const end = clamp(above + (to - from - 1) * SH + effective, Math.min(first + 1, H), H);
    return {
      geometry: { ...geometry, N: 1, H: end - first, OH: to - from, padTop: first - above },
      inputStart: (n * H + first) * inputRow, outputStart: (n * OH + from) * outputRow, firstChannel: 0,
    };
  })).flat();
}

const clamp = (value: number, least: number, most: number): number => Math.max(least, Math.min(value, most));

/** `[0, count)` in as few ranges of at most `most` as can be: even ones, or of a given size. */
function ranges(
  count: number, most: number, size = Math.ceil(count / Math.ceil(count / most)),
): readonly (readonly [from: number, to: number])[] {
  return Array.from({ length: Math.ceil(count / size) }, (_, i) => [i * size, Math.min(count, (i + 1) * size)]);
}
