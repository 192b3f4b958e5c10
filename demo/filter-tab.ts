import type { PipelineManager } from 'sepconv-webgpu';
import { checkAgainstReference } from './check.js';
import { readSettings, setUpControls } from './controls.js';
import { runTimed } from './convolve.js';
import { adapterText, currentManager } from './gpu.js';
import { latest } from './latest.js';
import { element, messageOf, onPageError, savePng, setText, shapeText } from './page.js';
import { decodePhoto, drawTensor, photoToTensor } from './photo.js';
import { firstPhoto, type PhotoSource } from './photos.js';
import { showCheck, showFailure, showFilter, showRun, showState, showStatus, showWorking } from './report.js';

const output = element('output', HTMLCanvasElement);
let source = firstPhoto();
let decoded: { source: PhotoSource; photo: ImageBitmap } | undefined;

async function currentPhoto(): Promise<ImageBitmap> {
  if (decoded?.source === source) return decoded.photo;
  const wanted = source;
  const photo = await decodePhoto(await wanted.load(), wanted.name);
  decoded?.photo.close();
  decoded = { source: wanted, photo };
  return photo;
}

/** Photo to verdict, as the controls say at the start. A newer request aborts it between its steps. */
async function run(signal: AbortSignal): Promise<void> {
  const { filter, strength, stride, rate, size, padding, strategy } = readSettings();
  showStatus('Reading the photo…');
  const input = photoToTensor(await currentPhoto(), size);
  signal.throwIfAborted();
  drawTensor(element('input', HTMLCanvasElement), input);
  element('input-shape', HTMLElement).textContent = shapeText(input.shape);

  const weights = filter.weights(strength);
  const { depthwiseFilter, pointwiseFilter, ...extensions } = weights;
  const options = { ...extensions, strides: stride, rate, padding, name: filter.id };
  showFilter(weights);
  showStatus('Compiling the pipeline…');
  const gpu = await currentManager();
  setText('adapter', adapterText(gpu));
  const convolution = await gpu.prepare({
    ...options, inputShape: input.shape, depthwiseFilter, pointwiseFilter, strategy,
  });
  try {
    signal.throwIfAborted();
    showStatus('Running on the GPU…');
    const timed = await runTimed(gpu.device, convolution, input);
    signal.throwIfAborted();
    drawTensor(output, timed.output);
    showRun(timed, convolution, strategy);

    showStatus(`Checking ${timed.output.data.length.toLocaleString('en')} values on the CPU…`);
    const check = await checkAgainstReference(
      { input, depthwiseFilter, pointwiseFilter, options, actual: timed.output }, signal);
    showCheck(check, timed.output);
    showStatus(`${filter.label}: all ${timed.output.data.length.toLocaleString('en')} values checked`);
    showState('done');
  } finally {
    convolution.destroy();
  }
}

const requestRun = latest(run, (error) => showFailure(messageOf(error)));

function request(): void {
  showWorking();
  requestRun();
}

/** Sets the tab up and runs it for the first time. Gives what runs it again. */
export function openFilters({ adapterKind }: PipelineManager): () => void {
  onPageError(showFailure);
  // A software adapter needs seconds for what a GPU does in a blink.
  element('size', HTMLSelectElement).value = adapterKind === 'software' ? '512' : '1024';
  setUpControls(request, (photo) => {
    source = photo;
    request();
  });
  element('save', HTMLButtonElement).addEventListener('click', () => savePng(output, 'separable-conv2d'));
  request();
  return request;
}
