import { elementBytes, type Geometry } from './geometry.js';
import { channelStride } from './tiles.js';

/**
 * A part of a convolution that is a convolution itself: some images, or some output rows of one image with the input rows
 * that they read. The starts are its first elements in the whole's input and output, where it lies in one piece.
 */
export interface Band {
  readonly geometry: Geometry;
  readonly inputStart: number;
  readonly outputStart: number;
}

/**
 * Cuts a convolution into as few bands as let no tensor of a band exceed `most` bytes; undefined when one output row with
 * the input rows that it reads is too much. The intermediate counts where it is stored.
 */
export function bands(geometry: Geometry, most: number, strategy: 'fused' | 'two-pass'): readonly Band[] | undefined {
  const { N, H, W, C, KH, OH, OW, O, SH, RH } = geometry;
  const bytes = elementBytes(geometry.dtype);
  const [inputRow, outputRow] = [W * C, OW * O];
  const largestRow = Math.max(outputRow * bytes, strategy === 'fused' ? 0 : OW * channelStride(geometry) * 4);
  const images = Math.floor(most / Math.max(1, H * inputRow * bytes, OH * largestRow));
  if (images >= N) return [{ geometry, inputStart: 0, outputStart: 0 }];
  if (images >= 1) {
    return ranges(N, images).map(([from, to]) => ({
      geometry: { ...geometry, N: to - from }, inputStart: from * H * inputRow, outputStart: from * OH * outputRow,
    }));
  }
  const effective = (KH - 1) * RH + 1;
  const inputRows = Math.floor(most / Math.max(1, inputRow * bytes));
  const rows = Math.min(
    Math.floor(most / Math.max(1, largestRow)),
    inputRows >= H ? OH : Math.floor((inputRows - effective) / SH) + 1,
  );
  if (rows < 1) return undefined;
  return Array.from({ length: N }, (_, n) => ranges(OH, rows).map(([from, to]) => {
    const above = from * SH - geometry.padTop; // The first input row that the band's first tap may read.
    const first = clamp(above, 0, Math.max(0, H - 1));
    const end = clamp(above + (to - from - 1) * SH + effective, Math.min(first + 1, H), H);
    return {
      geometry: { ...geometry, N: 1, H: end - first, OH: to - from, padTop: first - above },
      inputStart: (n * H + first) * inputRow, outputStart: (n * OH + from) * outputRow,
    };
  })).flat();
}

const clamp = (value: number, least: number, most: number): number => Math.max(least, Math.min(value, most));

/** `[0, count)` in as few and as even ranges of at most `most` as can be. */
function ranges(count: number, most: number): readonly (readonly [from: number, to: number])[] {
  const pieces = Math.ceil(count / most);
  const size = Math.ceil(count / pieces);
  return Array.from({ length: Math.ceil(count / size) }, (_, i) => [i * size, Math.min(count, (i + 1) * size)]);
}
