import process from 'node:process';
import type { TestProject } from 'vitest/node';
import { setUp } from '../setup.js';

/** As for the other tests, but with a page that the software GPU draws: else a canvas can have no WebGPU context. */
export default (project: TestProject): Promise<() => Promise<void>> => setUp(project, process.platform === 'linux'
  && process.env['SEPCONV_ADAPTER'] !== 'gpu'
  ? ['--use-angle=vulkan', '--use-vulkan=swiftshader', '--enable-features=Vulkan']
  : []);
