import { readFileSync } from 'node:fs';
import { ByteBuffer } from 'flatbuffers';
import { describe, expect, test } from 'vitest';
import { layerShapes } from '../demo/networks/network.js';
import { selfieSegmentation } from '../demo/networks/segmentation.js';
import { readModel } from '../demo/networks/tflite.js';
import { random } from './random.js';

const seed = Number(process.env['SEED'] ?? Date.now() % 1e9);
const path = new URL('../node_modules/@mediapipe/selfie_segmentation/selfie_segmentation.tflite', import.meta.url);
const file = new Uint8Array(readFileSync(path));

/** Where a field of a flatbuffer's table lies. */
function fieldOf(buffer: ByteBuffer, table: number, slot: number): number {
  return table + buffer.__offset(table, 4 + 2 * slot);
}

/** Where an element of a vector of tables lies. */
function elementOf(buffer: ByteBuffer, table: number, slot: number, index: number): number {
  return buffer.__indirect(buffer.__vector(fieldOf(buffer, table, slot)) + 4 * index);
}

/** A copy of the file in which one thing was written over. */
function changed(change: (buffer: ByteBuffer, model: number, graph: number) => void): Uint8Array<ArrayBuffer> {
  const buffer = new ByteBuffer(file.slice());
  const model = buffer.readInt32(0);
  change(buffer, model, elementOf(buffer, model, 2, 0));
  return buffer.bytes() as Uint8Array<ArrayBuffer>;
}

describe('a TensorFlow Lite file', () => {
  test('is read with its operators and weights', () => {
    const { operators, shapeOf, input, output, weight } = readModel(file);
    const count = (name: string): number => operators.filter((one) => one.name === name).length;
    expect({ conv: count('CONV_2D'), depthwise: count('DEPTHWISE_CONV_2D'), all: operators.length })
      .toEqual({ conv: 43, depthwise: 11, all: 136 });
    expect([shapeOf(input), shapeOf(output)]).toEqual([[1, 256, 256, 3], [1, 256, 256, 1]]);
    for (const { name, inputs } of operators.filter((one) => one.name === 'CONV_2D')) {
      const { shape, data } = weight(inputs[1]!);
      expect(data.length, name).toBe(shape.reduce((a, b) => a * b));
      expect(data.every(Number.isFinite) && data.some((value) => value !== 0), name).toBe(true);
    }
  });

  test('gives a network whose every layer is named once, and ends with the mask', () => {
    const network = selfieSegmentation(readModel(file));
    const names = network.layers.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    expect(names.at(-1)).toBe('mask');
    expect(layerShapes(network).at(-1)!.output).toEqual([1, 128, 128, 4]);
  });

  test.each<[string, Uint8Array<ArrayBuffer>, RegExp]>([
    ['nothing', new Uint8Array(0), /no TensorFlow Lite file/],
    ['a picture', Uint8Array.of(0xff, 0xd8, 0xff, 0xe0, 0, 16, 74, 70, 73, 70), /no TensorFlow Lite file/],
    ['half of it', file.slice(0, file.length / 2), /damaged|no constant|bytes, not/],
    ['an operator that is not known', changed((buffer, model) => {
      buffer.writeInt8(fieldOf(buffer, elementOf(buffer, model, 1, 0), 0), 99);
    }), /an operator that is not known: number 99/],
    ['a custom operator that is not known', changed((buffer, model) => {
      const codes = Array.from({ length: 11 }, (_, i) => elementOf(buffer, model, 1, i));
      const custom = codes.find((code) => buffer.__offset(code, 6) !== 0)!;
      const text = fieldOf(buffer, custom, 1);
      buffer.writeInt8(text + buffer.readInt32(text) + 4, 'X'.charCodeAt(0));
    }), /an operator that is not known: Xonvolution2DTransposeBias/],
    ['weights of a type that is not read', changed((buffer, _, graph) => {
      const conv = Array.from({ length: 300 }, (__, i) => i)
        .find((i) => buffer.__offset(elementOf(buffer, graph, 0, i), 6) !== 0)!;
      buffer.writeInt8(fieldOf(buffer, elementOf(buffer, graph, 0, conv), 1), 9);
    }), /has the type 9, which is not (read|computed)/],
  ])('%s is refused in plain words', (_, bytes, message) => {
    expect(() => selfieSegmentation(readModel(bytes))).toThrow(message);
  });

  test(`damage is found, or makes a network, but never an error of JavaScript; seed ${seed}`, () => {
    const next = random(seed);
    let refused = 0;
    const tables = file.length - 60_000; // Weights come first; most of the rest is structure.
    for (let run = 0; run < 60; run++) {
      const bytes = file.slice(0, next() < 0.2 ? Math.floor(next() * file.length) : file.length);
      for (let i = 0; i < 4; i++) {
        const at = next() < 0.5 ? Math.floor(next() * 8000) : tables + Math.floor(next() * 60_000);
        bytes[at] = Math.floor(next() * 256);
      }
      try {
        selfieSegmentation(readModel(bytes));
      } catch (error) {
        refused++;
        expect((error as Error).constructor, `run ${run}: ${String(error)}`).toBe(Error);
      }
    }
    console.log(`${refused} of 60 damaged files were refused`);
    expect(refused).toBeGreaterThan(20);
  });
});
