/** What the benchmark uses of packages that its first run installs, so that it type-checks before. */

declare module '@tensorflow/tfjs-backend-webgl' {}
declare module '@tensorflow/tfjs-backend-wasm' {
  export function setWasmPaths(paths: Readonly<Record<string, string>>): void;
}

declare module '@tensorflow/tfjs-core/dist/public/chained_ops/register_all_chained_ops' {}

declare module 'face-api' {
  export interface Found {
    readonly score: number;
    readonly box: { readonly x: number; readonly y: number; readonly width: number; readonly height: number };
  }
  export interface NetInput { readonly inputSize: number }
  interface Net {
    loadFromUri(uri: string): Promise<void>;
    locateFaces(input: HTMLCanvasElement | NetInput, options: object): Promise<readonly Found[]>;
  }
  interface Output { data(): Promise<unknown> }
  export interface SsdNet extends Net {
    forwardInput(input: NetInput): { readonly boxes: readonly Output[]; readonly scores: readonly Output[] };
  }
  export const nets: { readonly tinyFaceDetector: Net; readonly ssdMobilenetv1: SsdNet };
  export class TinyFaceDetectorOptions { constructor(options: { inputSize: number; scoreThreshold: number }); }
  export class SsdMobilenetv1Options { constructor(options: { minConfidence: number }); }
  export function toNetInput(picture: HTMLCanvasElement): Promise<NetInput>;
}

declare module 'onnxruntime-web/webgpu' {
  export const env: { readonly wasm: { numThreads: number }; readonly webgpu: { readonly device: Promise<GPUDevice> } };
  export class Tensor {
    static fromGpuBuffer(buffer: GPUBuffer, options: { dataType: 'float32'; dims: readonly number[] }): Tensor;
  }
  export class InferenceSession {
    static create(model: Uint8Array, options: {
      executionProviders: readonly { name: 'webgpu'; preferredLayout?: 'NCHW' | 'NHWC' }[];
      preferredOutputLocation: 'gpu-buffer';
    }): Promise<InferenceSession>;
    run(feeds: Readonly<Record<string, Tensor>>, fetches: Readonly<Record<string, Tensor>>): Promise<unknown>;
    release(): Promise<void>;
  }
}

/**
 * `@litertjs/core`, whose own types change everybody's Float32Array. Under this name TypeScript does not see them:
 * package.json's `imports` lead there for Node and browsers only.
 */
declare module '#litert' {
  export class Tensor {
    constructor(data: Float32Array, shape: readonly number[]);
    moveTo(destination: 'webgpu'): Promise<Tensor>;
    toGpuBuffer(): GPUBuffer;
    data(): Promise<Float32Array>;
    delete(): void;
  }
  export interface CompiledModel { run(inputs: readonly Tensor[]): Promise<Tensor[]>; delete(): void }
  export function loadLiteRt(folder: string): Promise<unknown>;
  export function loadAndCompile(model: Uint8Array, options: {
    accelerator: 'webgpu'; gpuOptions: { precision: 'fp32' };
  }): Promise<CompiledModel>;
  export function getWebGpuDevice(): GPUDevice | null;
}

declare module '@jax-js/jax' {
  export interface Array { readonly ref: Array; data(): Promise<ArrayBufferView>; dispose(): void }
  export function init(...devices: readonly string[]): Promise<string[]>;
  export function defaultDevice(device: string): string;
  export function jit<F extends (...arrays: Array[]) => Array>(compute: F): F & { dispose(): void };
  export function blockUntilReady(arrays: readonly Array[]): Promise<unknown>;
  export const numpy: { array(data: Float32Array, options: { shape: readonly number[] }): Array };
  export const lax: {
    convGeneralDilated(
      x: Array, filter: Array, strides: readonly number[], padding: 'VALID' | readonly (readonly [number, number])[],
      options?: { rhsDilation?: readonly number[]; featureGroupCount?: number },
    ): Array;
  };
}

declare module 'vega' {
  export function parse(spec: unknown): unknown;
  export class View {
    constructor(runtime: unknown, options: { renderer: 'none' });
    toSVG(): Promise<string>;
  }
}

declare module 'vega-lite' {
  export function compile(spec: unknown): { readonly spec: unknown };
}
