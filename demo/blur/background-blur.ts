import type { PipelineManager } from 'sepconv-webgpu';
import { type Picture, sizeOf } from '../networks/detector.js';
import { maskRows, Segmenter } from '../networks/segmenter.js';
import { type Encode, Resources } from '../resources.js';
import composeSource from '../shaders/compose.wgsl?raw';
import shrinkSource from '../shaders/shrink.wgsl?raw';
import { takingTurns } from '../turns.js';
import { type Stage, StageClock, stages, type StageTimes } from './clock.js';
import { FrameCopier, limited, pictureTexture } from './frame.js';
import { type BackgroundPart, createBackgroundPart, createMaskPart, type MaskPart } from './parts.js';
import {
  type Canvas, copiedScreen, gpuScreen, PIXEL_FORMAT, readableTexture, type Screen, TexturePixels,
} from './screen.js';

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
  /** For the screen, and for what is read back. */
  readonly compose: GPURenderPipeline;
  readonly composeToRead: GPURenderPipeline;
}

/** What there is for frames of one size, made at the first of them. */
interface Sized { readonly frame: GPUTexture; readonly shrink: Encode; compose: GPUBindGroup }

/** Of the network's square input, as in shrink.wgsl. */
const INPUT_SIDE = 256;
/** Pixels of a frame's longest side; a larger photo is scaled down. */
const LARGEST = 4096;
/** A larger backdrop would be jagged where it is scaled down: the shader reads only the nearest pixels. */
const LARGEST_BACKDROP = 1280;

/**
 * Puts another background behind the person of a photo or of each frame of a video. All stays on the GPU, from the
 * frame to the canvas, in one submit; after the first frame of a size no GPU object is made but the canvas's own
 * texture. Software adapters, which have no memory of their own, leave each frame where a canvas can take it. Calls
 * wait for each other.
 */
export class BackgroundBlur {
  readonly segmenter: Segmenter;
  readonly #resources: Resources;
  readonly #pipelines: Pipelines;
  readonly #parts: { readonly mask: MaskPart; readonly background: BackgroundPart };
  readonly #screen: Screen | undefined;
  readonly #clock: StageClock;
  readonly #copier: FrameCopier;
  readonly #params: GPUBuffer;
  readonly #smoothly: GPUSampler;
  readonly #inTurn = takingTurns();
  #backdrop: GPUTexture;
  #sized: Sized | undefined;
  /** How the last frame was drawn; `undefined`: there was none. */
  #last: EffectOptions | undefined;

  /**
   * Loads the network and compiles. Without a canvas there is only what is read back. `isSoftware`: whether pixels go
   * through the CPU's memory on their way in and out, which is the faster way if the adapter is the CPU.
   */
  static async create(
    manager: PipelineManager, canvas?: Canvas, onProgress: (what: string, share: number) => void = () => {},
    isSoftware = manager.adapterKind === 'software',
  ): Promise<BackgroundBlur> {
    const { device } = manager;
    const resources = new Resources(device, 'blur');
    try {
      const [segmenter, shrink, composeToRead] = await Promise.all([
        Segmenter.create(manager, onProgress).then((made) => resources.keep(made)),
        resources.pipeline('shrink', shrinkSource),
        resources.renderPipeline('compose', composeSource, PIXEL_FORMAT),
      ]);
      onProgress('Compiling the effect', 1);
      const screen = canvas && resources.keep((isSoftware ? copiedScreen : gpuScreen)(device, canvas));
      const mask = await createMaskPart(resources, manager, segmenter);
      const format = screen?.format ?? PIXEL_FORMAT;
      const compose = format === PIXEL_FORMAT ? composeToRead
        : await resources.renderPipeline('compose', composeSource, format);
      const background = await createBackgroundPart(resources, manager, segmenter, mask.coefficients);
      const pipelines = { shrink, compose, composeToRead };
      return new BackgroundBlur(resources, segmenter, pipelines, { mask, background }, screen, isSoftware);
    } catch (error) {
      resources.destroy();
      throw error;
    }
  }

  private constructor(
    resources: Resources, segmenter: Segmenter, pipelines: Pipelines,
    parts: { readonly mask: MaskPart; readonly background: BackgroundPart },
    screen: Screen | undefined, isSoftware: boolean,
  ) {
    const { device } = resources;
    this.segmenter = segmenter;
    this.#resources = resources;
    this.#pipelines = pipelines;
    this.#parts = parts;
    this.#screen = screen;
    this.#clock = new StageClock(resources);
    this.#copier = new FrameCopier(device, isSoftware);
    this.#params = resources.buffer('params', 32, GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST);
    this.#smoothly = device.createSampler({ magFilter: 'linear', minFilter: 'linear' });
    this.#backdrop = pictureTexture(device, 'backdrop', 1, 1);
  }

  /**
   * Draws a frame at its size. The mask of one that follows the frame before in a video is smoothed over time.
   * Resolves when the GPU is done: who waits for it never has frames queue up.
   */
  draw(frame: Picture, options: EffectOptions, follows = false): Promise<void> {
    return this.#inTurn(async () => {
      const { frame: texture } = this.#sized = this.#sizedFor(...limited(sizeOf(frame), LARGEST));
      const { mask } = this.#parts;
      mask.follows(follows && this.#last !== undefined);
      this.#copier.copy(frame, texture);
      this.#last = options;
      await this.#run(stages);
    });
  }

  /** Whether a frame was drawn, so that there is something to draw again or to read. */
  get hasFrame(): boolean {
    return this.#last !== undefined;
  }

  /** Draws the last frame with other options, in less time. */
  redraw(options: EffectOptions): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#last === undefined) return;
      this.#last = options;
      await this.#run(['blur', 'compose']);
    });
  }

  /** The picture for the background `picture`, which it covers; what sticks out is cut off. */
  setBackdrop(picture: Picture): void {
    this.#backdrop.destroy();
    const size = limited(sizeOf(picture), LARGEST_BACKDROP);
    this.#backdrop = pictureTexture(this.#resources.device, 'backdrop', ...size);
    this.#copier.copy(picture, this.#backdrop);
    if (this.#sized !== undefined) this.#sized.compose = this.#composeGroup(this.#pipelines.compose, this.#sized.frame);
  }

  /** How long frames take, as a moving average. */
  times(): StageTimes {
    return this.#clock.times();
  }

  /** Resolves when the times of all frames so far are known. */
  timesRead(): Promise<void> {
    return this.#clock.read();
  }

  /** The last frame as it was drawn. */
  readPicture(): Promise<ImageData> {
    return this.#inTurn(() => this.#read(this.#last!));
  }

  /** The last frame's mask at its full size, a person in white. */
  readMask(): Promise<ImageData> {
    return this.#inTurn(() => this.#read({ ...this.#last!, background: 'mask' }));
  }

  /** The last frame's mask as the network made it, 256×256 values from 0 to 1; of a video, smoothed over time. */
  async readRawMask(): Promise<Float32Array<ArrayBuffer>> {
    const { device } = this.#resources;
    const { mask } = this.#parts.mask;
    const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
    const readback = device.createBuffer({ label: 'blur mask', size: mask.size, usage });
    try {
      const encoder = device.createCommandEncoder({ label: 'blur mask' });
      encoder.copyBufferToBuffer(mask, 0, readback, 0, mask.size);
      device.queue.submit([encoder.finish()]);
      await readback.mapAsync(GPUMapMode.READ);
      const data = new Float32Array(readback.getMappedRange());
      return maskRows({ shape: [1, INPUT_SIDE / 2, INPUT_SIDE / 2, 4], data });
    } finally {
      readback.destroy();
    }
  }

  destroy(): void {
    this.#sized?.frame.destroy();
    this.#backdrop.destroy();
    this.#resources.destroy();
  }

  #sizedFor(width: number, height: number): Sized {
    const known = this.#sized;
    if (known?.frame.width === width && known.frame.height === height) return known;
    if (width * height === 0) throw new Error('There is no picture yet.');
    known?.frame.destroy();
    this.#clock.clear();
    const { device } = this.#resources;
    const frame = pictureTexture(device, 'frame', width, height);
    const input = { buffer: this.segmenter.input };
    const tiles = INPUT_SIDE / 8;
    const shrink = this.#resources.dispatch(this.#pipelines.shrink, [frame.createView(), input], [tiles, tiles]);
    return { frame, shrink, compose: this.#composeGroup(this.#pipelines.compose, frame) };
  }

  #composeGroup(pipeline: GPURenderPipeline, frame: GPUTexture): GPUBindGroup {
    const { mask: { coefficients }, background: { blurred } } = this.#parts;
    return this.#resources.group(pipeline, [
      { buffer: this.#params }, frame.createView(), coefficients, blurred, this.#backdrop.createView(), this.#smoothly,
    ]);
  }

  async #run(wanted: readonly Stage[]): Promise<void> {
    const start = performance.now();
    const { device } = this.#resources;
    const { background: mode } = this.#last!;
    // The mask alone needs no blur.
    const skipped = [...(mode === 'mask' ? ['blur'] : []), ...(this.#screen === undefined ? ['compose'] : [])];
    const ran = wanted.filter((stage) => !skipped.includes(stage));
    this.#write(this.#last!);
    const encoder = device.createCommandEncoder({ label: 'blur' });
    for (const stage of ran) if (stage !== 'compose') this.#compute(encoder, stage);
    const screen = this.#screen;
    const { frame, compose } = this.#sized!;
    if (screen !== undefined) {
      const target = screen.target(frame.width, frame.height);
      this.#compose(encoder, this.#pipelines.compose, compose, target, this.#clock.writes('compose'));
      screen.record(encoder);
    }
    const readTimes = this.#clock.record(encoder, ran);
    device.queue.submit([encoder.finish()]);
    readTimes();
    await (screen === undefined ? device.queue.onSubmittedWorkDone() : screen.show());
    if (wanted === stages) this.#clock.addWall(performance.now() - start);
  }

  /** Puts options where shaders and filters read them. */
  #write({ background, strength, colour }: EffectOptions): void {
    const { frame } = this.#sized!;
    const { width, height } = this.#backdrop;
    this.#parts.background.setStrength(strength, frame.width, frame.height);
    const wider = (frame.width / frame.height) / (width / height); // how much wider the frame is than the backdrop
    const params = Float32Array.of(...colour, 0, Math.min(1, wider), Math.min(1, 1 / wider), 0, 0);
    new Uint32Array(params.buffer)[3] = backgrounds.indexOf(background);
    this.#resources.device.queue.writeBuffer(this.#params, 0, params);
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
    encoder: GPUCommandEncoder, pipeline: GPURenderPipeline, group: GPUBindGroup, view: GPUTextureView,
    timing: ReturnType<StageClock['writes']> = {},
  ): void {
    const pass = encoder.beginRenderPass({
      label: 'blur: compose', ...timing,
      colorAttachments: [{ view, loadOp: 'clear', storeOp: 'store' }],
    });
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    pass.draw(3);
    pass.end();
  }

  /** Composes the last frame once more, to look at it. */
  async #read(options: EffectOptions): Promise<ImageData> {
    this.#write(options);
    const { device } = this.#resources;
    const { frame } = this.#sized!;
    const target = readableTexture(device, frame.width, frame.height);
    const pixels = new TexturePixels(device, target);
    try {
      const { composeToRead } = this.#pipelines;
      const encoder = device.createCommandEncoder({ label: 'blur read' });
      this.#compose(encoder, composeToRead, this.#composeGroup(composeToRead, frame), target.createView());
      pixels.record(encoder);
      device.queue.submit([encoder.finish()]);
      const image = new ImageData(frame.width, frame.height);
      await pixels.read(image);
      return image;
    } finally {
      target.destroy();
      pixels.destroy();
    }
  }
}
