/** Reads weights in TensorFlow.js's format: a manifest that names tensors, and one binary file with them in order. */

export interface Weight {
  readonly shape: readonly number[];
  readonly data: Float32Array<ArrayBuffer>;
}

/** The weight of that name. @throws Error when there is none, or its rank is another */
export type Weights = (name: string, rank?: number) => Weight;

interface ManifestGroup {
  readonly weights: readonly {
    readonly name: string;
    readonly shape: readonly number[];
    readonly dtype: 'float32' | 'int32';
    readonly quantization?: { readonly dtype: 'uint8'; readonly scale: number; readonly min: number };
  }[];
}

/**
 * Fetches and dequantises. `onProgress` gets the share of bytes that has arrived, 0 to 1.
 * @throws Error in plain words when a file does not load or does not fit its manifest
 */
export async function loadWeights(
  manifest: string, binary: string, onProgress: (share: number) => void,
): Promise<Weights> {
  const groups = (await (await fetchFile(manifest)).json()) as readonly ManifestGroup[];
  const entries = groups.flatMap(({ weights }) => weights).map((entry) => {
    const count = entry.shape.reduce((product, extent) => product * extent, 1);
    return { ...entry, count, byteLength: entry.quantization ? count : count * Float32Array.BYTES_PER_ELEMENT };
  });
  const total = entries.reduce((sum, { byteLength }) => sum + byteLength, 0);
  const bytes = await readAll(await fetchFile(binary), total, onProgress);
  const tensors = new Map<string, Weight>();
  let offset = 0;
  for (const { name, shape, quantization, byteLength } of entries) {
    const stored = bytes.slice(offset, offset + byteLength);
    const data = quantization
      ? Float32Array.from(stored, (step) => step * quantization.scale + quantization.min)
      : new Float32Array(stored.buffer);
    tensors.set(name, { shape, data });
    offset += byteLength;
  }
  return (name, rank) => {
    const weight = tensors.get(name);
    if (weight === undefined) throw new Error(`${manifest} has no weight ${name}`);
    if (rank !== undefined && weight.shape.length !== rank) {
      throw new Error(`${name} should have rank ${rank}, not shape ${weight.shape.join('×')}`);
    }
    return weight;
  };
}

/** @throws Error in plain words when there is no such file */
export async function fetchFile(url: string): Promise<Response> {
  const response = await fetch(url);
  const { ok, status, statusText } = response;
  if (!ok) throw new Error(`A file of the network did not load: ${url}: ${status} ${statusText}`);
  return response;
}

async function readAll(
  response: Response, byteLength: number, onProgress: (share: number) => void,
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(byteLength);
  let filled = 0;
  const reader = response.body!.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    if (filled + value.length > byteLength) throw new Error(`${response.url} is longer than its manifest says`);
    bytes.set(value, filled);
    filled += value.length;
    onProgress(filled / byteLength);
  }
  if (filled !== byteLength) {
    throw new Error(`${response.url} has ${filled} bytes, not ${byteLength} as its manifest says`);
  }
  return bytes;
}
