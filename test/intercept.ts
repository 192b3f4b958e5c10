/** Watches the real WebGPU calls of a page, so that a test can count them or make one of them fail. */

export interface Call {
  readonly target: object;
  readonly method: string;
  readonly args: readonly unknown[];
  /** Makes the real call. */
  readonly proceed: () => unknown;
}

const interfaces = () =>
  [GPUAdapter, GPUDevice, GPUQueue, GPUBuffer, GPUTexture, GPUShaderModule, GPUCommandEncoder, GPUComputePassEncoder];

/** Sends every call of a WebGPU method through `hook`, whose result the caller gets, until disposed. */
export function intercept(hook: (call: Call) => unknown): Disposable {
  const restore: (() => void)[] = [];
  for (const { prototype } of interfaces()) {
    for (const [method, descriptor] of Object.entries(Object.getOwnPropertyDescriptors(prototype))) {
      if (method === 'constructor' || typeof descriptor.value !== 'function') continue;
      const original = descriptor.value as (...args: unknown[]) => unknown;
      Object.defineProperty(prototype, method, {
        ...descriptor,
        value(this: object, ...args: unknown[]) {
          return hook({ target: this, method, args, proceed: () => original.apply(this, args) });
        },
      });
      restore.push(() => Object.defineProperty(prototype, method, descriptor));
    }
  }
  return { [Symbol.dispose]: () => restore.forEach((undo) => undo()) };
}

/** Keeps account of the buffers and textures that are made and not destroyed, by the calls that it is shown. */
export class LiveResources {
  readonly #live = new Set<object>();
  #bytes = 0;

  see(method: string, target: object, result: unknown): void {
    if (isResource(result)) {
      this.#live.add(result);
      this.#bytes += byteLength(result);
    } else if (method === 'destroy' && isResource(target) && this.#live.delete(target)) {
      this.#bytes -= byteLength(target);
    }
  }

  get count(): number {
    return this.#live.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  labels(): string {
    return [...this.#live].map((resource) => (resource as GPUBuffer | GPUTexture).label).join(', ');
  }
}

const isResource = (object: unknown): object is GPUBuffer | GPUTexture =>
  object instanceof GPUBuffer || object instanceof GPUTexture;

/** The library's textures have texels of 16 bytes. */
const byteLength = (resource: GPUBuffer | GPUTexture): number =>
  (resource instanceof GPUBuffer ? resource.size : resource.width * resource.height * 16);
