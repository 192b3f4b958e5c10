import { PipelineManager } from 'sepconv-webgpu';
import * as THREE from 'three/webgpu';
import { createPictures, pictureBuffer } from '../pictures.js';
import { showLoss } from '../report.js';

/** three.js renders into a texture, a separable convolution filters it on the renderer's device, three.js shows it. */

const [WIDTH, HEIGHT] = [480, 320];
const TAPS = [1, 6, 15, 20, 15, 6, 1].map((tap) => tap / 64);

/** A soft blur whose colours run into each other: 7×7 binomial taps, then a mix of the channels. */
export const filter = {
  depthwiseFilter: {
    shape: [7, 7, 3, 1], data: Float32Array.from(TAPS.flatMap((y) => TAPS.flatMap((x) => [x * y, x * y, x * y]))),
  },
  pointwiseFilter: { shape: [1, 1, 3, 3], data: Float32Array.of(1.1, 0.1, 0, 0, 0.9, 0.3, 0.2, 0, 1.2) },
  padding: 'SAME',
} as const;

export const renderer = new THREE.WebGPURenderer({ canvas: document.querySelector('canvas')! });
renderer.setSize(WIDTH, HEIGHT, false);
await renderer.init();

// The scene, as ever.
const scene = new THREE.Scene();
scene.background = new THREE.Color('#102030');
const orange = new THREE.MeshStandardMaterial({ color: '#e08e2b' });
const knot = new THREE.Mesh(new THREE.TorusKnotGeometry(1, 0.35, 128, 24), orange);
const light = new THREE.DirectionalLight('white', 3);
light.position.set(1, 2, 3);
scene.add(knot, light, new THREE.AmbientLight('#4080ff', 1));
const camera = new THREE.PerspectiveCamera(45, WIDTH / HEIGHT, 0.1, 10);
camera.position.z = 4.5;
export const rendered = new THREE.RenderTarget(WIDTH, HEIGHT);

// The filter, on the renderer's device. The backend is a WebGPUBackend, which has no types of its own.
const backend = renderer.backend as unknown as {
  device: GPUDevice;
  get(texture: THREE.Texture): { texture: GPUTexture };
};
export const { device } = backend;
device.lost.then(showLoss, reportError);
const manager = await PipelineManager.create({ device });
const pictures = await createPictures(device);
const convolution = await manager.prepare({ inputShape: [1, HEIGHT, WIDTH, 3], ...filter });
const [input, output] = [pictureBuffer(device, WIDTH, HEIGHT), pictureBuffer(device, WIDTH, HEIGHT)];
export const filtered = device.createTexture({
  label: 'filtered', size: [WIDTH, HEIGHT], format: 'rgba8unorm',
  usage: GPUTextureUsage.STORAGE_BINDING | GPUTextureUsage.TEXTURE_BINDING | GPUTextureUsage.COPY_SRC,
});

// Its result, as a texture of three.js that fills the canvas.
const material = new THREE.MeshBasicNodeMaterial({ map: new THREE.ExternalTexture(filtered) });
const screen = new THREE.QuadMesh(material);

export function draw(time: number): void {
  knot.rotation.set(time / 2300, time / 1700, 0);
  renderer.setRenderTarget(rendered);
  renderer.render(scene, camera); // Submitted when this returns, so what follows reads the new picture.

  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pictures.toTensor(pass, backend.get(rendered.texture).texture, input);
  convolution.encode(pass, { input, output });
  pictures.toTexture(pass, output, filtered);
  pass.end();
  device.queue.submit([encoder.finish()]);

  renderer.setRenderTarget(null);
  screen.render(renderer);
}

await renderer.setAnimationLoop(draw);
