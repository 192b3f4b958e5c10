import { askForManager } from '../watch.js';
import { showError, showGpuTrouble, showTrouble } from './report.js';

/** Starts the example of the page. What it needs comes first, so that whatever is missing is told in plain words. */

/**
 * `packages`: a file of what `npm run examples` installs. Written out: the bundler finds files by this literal form
 * only.
 */
const examples = {
  tfjs: {
    packages: import.meta.glob('./node_modules/@tensorflow/tfjs-layers/package.json', { exhaustive: true }),
    load: () => import('./tfjs/tfjs.js'),
  },
  onnxruntime: {
    packages: import.meta.glob('./node_modules/onnxruntime-web/package.json', { exhaustive: true }),
    load: () => import('./onnxruntime/onnxruntime.js'),
  },
  three: {
    packages: import.meta.glob('./node_modules/three/package.json', { exhaustive: true }),
    load: () => import('./three/three.js'),
  },
  video: { packages: undefined, load: () => import('./video/video.js') },
};

async function start({ packages, load }: typeof examples[keyof typeof examples]): Promise<void> {
  try {
    (await askForManager()).destroy();
  } catch (error) {
    return showGpuTrouble(error);
  }
  if (packages !== undefined && Object.keys(packages).length === 0) {
    return showTrouble('The packages of this example are missing',
      'Stop the server of this page and run “npm run examples” instead: '
        + 'it installs them and serves this page again.');
  }
  await load().catch(showError);
}

await start(examples[document.body.dataset['example'] as keyof typeof examples]);
