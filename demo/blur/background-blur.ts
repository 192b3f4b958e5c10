import type { PipelineManager } from 'sepconv-webgpu';
import { type Picture, sizeOf } from '../networks/detector.js';
import { Segmenter } from '../networks/segmenter.js';
import composeSource from '../shaders/compose.wgsl?raw';
import shrinkSource from '../shaders/shrink.wgsl?raw';
import { type Stage, StageClock, stages, type StageTimes } from './clock.js';
import { FrameCopier, limited, pictureTexture } from './frame.js';
import { Kit, type Step } from './kit.js';
import { type BackgroundPart, createBackgroundPart, createMaskPart, type MaskPart, SIDE } from './parts.js';

/** What takes the background's place; `mask` shows the mask itself, a person in white. */
export const backgrounds = ['blur', 'colour', 'picture', 'mask'] as const;
export type Background = (typeof backgrounds)[number];

export interface EffectOptions {
  readonly background: Background;
  /** How much the background is blurred, from 0 to 1. */
  readonly strength: number;
  /** Red, green and blue from 0 to 1, for the background `colour`. */
  readonly colour: readonly [red: number, green: number, blue: number];
}

interface Pipelines {
  readonly shrink: GPUComputePipeline;
  /** For the canvas, and for what is read back. */
  readonly compose: GPURenderPipeline;
  readonly composeToRead: GPURenderPipeline;
}

/** What there is for frames of one size, made at the first of them. */
interface Sized { readonly frame: GPUTexture; readonly shrink: Step; compose: GPUBindGroup }

const READ_FORMAT = 'rgba8unorm';
/** Pixels of a frame's longest side; a larger photo is scaled down. */
const LARGEST = 4096;
/** A larger backdrop would be jagged where it is scaled down: the shader reads only the nearest pixels. */
const LARGEST_BACKDROP = 1280;

/**
 * Puts another background behind the person of a photo or of each frame of a video. All stays on the GPU, from the frame
 * to the canvas, in one submit; after the first frame of a size no GPU object is made but the canvas's own texture.
 */
export class BackgroundBlur {
  readonly segmenter: Segmenter;
  readonly #kit: Kit;
  readonly #pipelines: Pipelines;
  readonly #parts: { readonly mask: MaskPart; readonly background: BackgroundPart };
  readonly #canvas: HTMLCanvasElement | OffscreenCanvas | undefined;
  readonly #context: GPUCanvasContext | undefined;
  readonly #clock: StageClock;
  readonly #copier: FrameCopier;
  readonly #params: GPUBuffer;
  readonly #smoothly: GPUSampler;
  #backdrop: GPUTexture;
  #sized: Sized | undefined;
  #last: { readonly frame: Picture; readonly options: EffectOptions } | undefined;

  /** Loads the network and compiles. Without a canvas there is only what is read back. */
  static async create(
    manager: PipelineManager, canvas?: HTMLCanvasElement | OffscreenCanvas,
    onProgress: (what: string, share: number) => void = () => {},
  ): Promise<BackgroundBlur> {
    const segmenter = await Segmenter.create(manager, onProgress);
    onProgress('Compiling the effect', 1);
    const kit = new Kit(manager.device);
    kit.keep(segmenter);
    try {
      const format = navigator.gpu.getPreferredCanvasFormat();
      const [shrink, compose, composeToRead, mask] = await Promise.all([
        kit.pipeline('shrink', shrinkSource), composePipeline(manager.device, format),
        composePipeline(manager.device, READ_FORMAT), createMaskPart(kit, manager, segmenter),
      ]);
      const background = await createBackgroundPart(kit, manager, segmenter, mask.coefficients);
      return new BackgroundBlur(kit, segmenter, { shrink, compose, composeToRead }, { mask, background }, canvas);
    } catch (error) {
      kit.destroy();
      throw error;
    }
  }

  private constructor(
    kit: Kit, segmenter: Segmenter, pipelines: Pipelines,
    parts: { readonly mask: MaskPart; readonly background: BackgroundPart },
    canvas: HTMLCanvasElement | OffscreenCanvas | undefined,
  ) {
    const { device } = kit;
    this.segmenter = segmenter;
    this.#kit = kit;
    this.#pipelines = pipelines;
    this.#parts = parts;
    this.#canvas = canvas;
    this.#clock = new StageClock(kit);
    this.#copier = new FrameCopier(device);
    this.#params = kit.buffer('params', 32, GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST);
    this.#smoothly = device.createSampler({ magFilter: 'linear', minFilter: 'linear' });
    this.#backdrop = pictureTexture(device, 'backdrop', 1, 1);
    if (canvas === undefined) return;
    this.#context = canvas.getContext('webgpu') as GPUCanvasContext | null ?? undefined;
    if (this.#context === undefined) throw new Error('This browser gave no canvas that WebGPU can draw on.');
    this.#context.configure({ device, format: navigator.gpu.getPreferredCanvasFormat(), alphaMode: 'opaque' });
  }

  /**
   * Draws a frame at its size; a video element that is drawn again is a video, whose mask is smoothed over time.
   * Resolves when the GPU is done: who waits for it never has frames queue up.
   */
  draw(frame: Picture, options: EffectOptions): Promise<void> {
    const { frame: texture } = this.#sized = this.#sizedFor(...limited(sizeOf(frame), LARGEST));
    const { mask } = this.#parts;
    mask.follows(frame instanceof HTMLVideoElement && frame === this.#last?.frame);
    this.#copier.copy(frame, texture);
    this.#last = { frame, options };
    return this.#run(stages);
  }

  /** Draws the last frame with other options, in less time. */
  redraw(options: EffectOptions): Promise<void> {
    if (this.#last === undefined) return Promise.resolve();
    this.#last = { ...this.#last, options };
    return this.#run(['blur', 'compose']);
  }

  /** The picture for the background `picture`, which it covers; what sticks out is cut off. */
  setBackdrop(picture: Picture): void {
    this.#backdrop.destroy();
    const size = limited(sizeOf(picture), LARGEST_BACKDROP);
    this.#backdrop = pictureTexture(this.#kit.device, 'backdrop', ...size);
    this.#copier.copy(picture, this.#backdrop);
    if (this.#sized !== undefined) this.#sized.compose = this.#composeGroup(this.#pipelines.compose, this.#sized.frame);
  }

  /** How long frames take, as a moving average. */
  times(): StageTimes {
    return this.#clock.times();
  }

  /** The last frame as it was drawn. */
  async readPicture(): Promise<ImageData> {
    return this.#read(this.#last!.options);
  }

  /** The last frame's mask at its full size, a person in white. */
  async readMask(): Promise<ImageData> {
    return this.#read({ ...this.#last!.options, background: 'mask' });
  }

  /** The last frame's mask as the network made it, 256×256 values from 0 to 1; of a video, smoothed over time. */
  async readRawMask(): Promise<Float32Array<ArrayBuffer>> {
    const { mask } = this.#parts.mask;
    return new Float32Array(await this.#download(mask.size, (encoder, readback) =>
      encoder.copyBufferToBuffer(mask, 0, readback, 0, mask.size)));
  }

  destroy(): void {
    this.#context?.unconfigure();
    this.#sized?.frame.destroy();
    this.#backdrop.destroy();
    this.#kit.destroy();
  }

  #sizedFor(width: number, height: number): Sized {
    const known = this.#sized;
    if (known?.frame.width === width && known.frame.height === height) return known;
    if (width * height === 0) throw new Error('There is no picture yet.');
    known?.frame.destroy();
    this.#clock.clear();
    const { device } = this.#kit;
    const frame = pictureTexture(device, 'frame', width, height);
    if (this.#canvas !== undefined) Object.assign(this.#canvas, { width, height });
    const input = { buffer: this.segmenter.input };
    const shrink = this.#kit.dispatch(this.#pipelines.shrink, [frame.createView(), input], [SIDE / 8, SIDE / 8]);
    return { frame, shrink, compose: this.#composeGroup(this.#pipelines.compose, frame) };
  }

  #composeGroup(pipeline: GPURenderPipeline, frame: GPUTexture): GPUBindGroup {
    const { mask: { coefficients }, background: { blurred } } = this.#parts;
    return this.#kit.group(pipeline, [
      { buffer: this.#params }, frame.createView(), coefficients, blurred, this.#backdrop.createView(), this.#smoothly,
    ]);
  }

  async #run(wanted: readonly Stage[]): Promise<void> {
    const start = performance.now();
    const { device } = this.#kit;
    const { background: mode } = this.#last!.options;
    // The mask alone needs no blur.
    const skipped = [...(mode === 'mask' ? ['blur'] : []), ...(this.#context === undefined ? ['compose'] : [])];
    const ran = wanted.filter((stage) => !skipped.includes(stage));
    this.#write(this.#last!.options);
    const encoder = device.createCommandEncoder({ label: 'blur' });
    for (const stage of ran) if (stage !== 'compose') this.#compute(encoder, stage);
    if (this.#context !== undefined) {
      const target = this.#context.getCurrentTexture();
      this.#compose(encoder, this.#pipelines.compose, this.#sized!.compose, target, this.#clock.writes('compose'));
    }
    const readTimes = this.#clock.record(encoder, ran);
    device.queue.submit([encoder.finish()]);
    readTimes();
    await device.queue.onSubmittedWorkDone();
    this.#clock.addWall(performance.now() - start);
  }

  /** Puts options where shaders and filters read them. */
  #write({ background, strength, colour }: EffectOptions): void {
    const { frame } = this.#sized!;
    const { width, height } = this.#backdrop;
    this.#parts.background.setStrength(strength, frame.width, frame.height);
    const wider = (frame.width / frame.height) / (width / height); // how much wider the frame is than the backdrop
    const params = Float32Array.of(...colour, 0, Math.min(1, wider), Math.min(1, 1 / wider), 0, 0);
    new Uint32Array(params.buffer)[3] = backgrounds.indexOf(background);
    this.#kit.device.queue.writeBuffer(this.#params, 0, params);
  }

  #compute(encoder: GPUCommandEncoder, stage: Exclude<Stage, 'compose'>): void {
    const pass = encoder.beginComputePass({ label: `blur: ${stage}`, ...this.#clock.writes(stage) });
    if (stage === 'frame') this.#sized!.shrink(pass);
    else if (stage === 'network') this.segmenter.encode(pass);
    else if (stage === 'mask') this.#parts.mask.encode(pass);
    else this.#parts.background.encode(pass);
    pass.end();
  }

  #compose(
    encoder: GPUCommandEncoder, pipeline: GPURenderPipeline, group: GPUBindGroup, target: GPUTexture,
    timing: ReturnType<StageClock['writes']> = {},
  ): void {
    const pass = encoder.beginRenderPass({
      label: 'blur: compose', ...timing,
      colorAttachments: [{ view: target.createView(), loadOp: 'clear', storeOp: 'store' }],
    });
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    pass.draw(3);
    pass.end();
  }

  /** Composes the last frame once more, to look at it. */
  async #read(options: EffectOptions): Promise<ImageData> {
    this.#write(options);
    const { frame } = this.#sized!;
    const { width, height } = frame;
    const target = this.#kit.device.createTexture({
      label: 'blur read', size: [width, height], format: READ_FORMAT,
      usage: GPUTextureUsage.RENDER_ATTACHMENT | GPUTextureUsage.COPY_SRC,
    });
    const bytesPerRow = Math.ceil(width / 64) * 256;
    try {
      const bytes = new Uint8ClampedArray(await this.#download(bytesPerRow * height, (encoder, buffer) => {
        const { composeToRead } = this.#pipelines;
        this.#compose(encoder, composeToRead, this.#composeGroup(composeToRead, frame), target);
        encoder.copyTextureToBuffer({ texture: target }, { buffer, bytesPerRow }, [width, height]);
      }));
      const image = new ImageData(width, height);
      for (let y = 0; y < height; y++) {
        image.data.set(bytes.subarray(y * bytesPerRow, y * bytesPerRow + 4 * width), 4 * width * y);
      }
      return image;
    } finally {
      target.destroy();
    }
  }

  async #download(
    size: number, record: (encoder: GPUCommandEncoder, readback: GPUBuffer) => void,
  ): Promise<ArrayBuffer> {
    const { device } = this.#kit;
    const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
    const readback = device.createBuffer({ label: 'blur readback', size, usage });
    try {
      const encoder = device.createCommandEncoder({ label: 'blur read' });
      record(encoder, readback);
      device.queue.submit([encoder.finish()]);
      await readback.mapAsync(GPUMapMode.READ);
      return readback.getMappedRange().slice(0);
    } finally {
      readback.destroy();
    }
  }
}

function composePipeline(device: GPUDevice, format: GPUTextureFormat): Promise<GPURenderPipeline> {
  const label = 'compose';
  const module = device.createShaderModule({ label, code: composeSource });
  return device.createRenderPipelineAsync({
    label, layout: 'auto', vertex: { module }, fragment: { module, targets: [{ format }] },
  });
}
