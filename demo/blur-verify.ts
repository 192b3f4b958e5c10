import type { BackgroundBlur } from './blur/background-blur.js';
import { untilLost } from './gpu.js';
import { toleranceOf } from './networks/segmenter.js';
import { verify } from './networks/verify.js';
import { element, messageOf, setText } from './page.js';

const button = element('blur-verify', HTMLButtonElement);
const verdict = element('blur-verdict', HTMLElement);
// Numbers for scripts: data-agrees, data-max-error.
const { dataset } = element('blur-report', HTMLElement);

let running: AbortController | undefined;

/** Forgets the last verdict: there is another picture. */
export function clearVerdict(): void {
  running?.abort(new Error('replaced'));
  running = undefined;
  show('pending', 'Not verified yet');
  setText('blur-verify-note', 'Press Verify to compute the network for this picture on the CPU, layer by layer.');
}

/** What the button does. `effectOf` gives the effect that has drawn the picture; `undefined` where none has. */
export function setUpVerify(effectOf: () => Promise<BackgroundBlur | undefined>): void {
  button.addEventListener('click', () => {
    if (button.ariaDisabled === 'true') return;
    clearVerdict();
    const controller = running = new AbortController();
    button.ariaDisabled = 'true'; // Unlike disabled, that keeps the focus.
    untilLost(check(effectOf, controller.signal)).catch((error: unknown) => {
      if (!controller.signal.aborted) show('none', messageOf(error));
      controller.abort(new Error('ended'));
    }).finally(() => (button.ariaDisabled = 'false'));
  });
}

async function check(effectOf: () => Promise<BackgroundBlur | undefined>, signal: AbortSignal): Promise<void> {
  const effect = await effectOf();
  if (effect === undefined) return;
  show('pending', 'Computing every layer on the CPU…');
  const { layers } = effect.segmenter;
  let worst = { layer: '', error: 0, share: 0 };
  await verify(effect.segmenter, ({ maxError: error }, i) => {
    const { name } = layers[i]!;
    const share = Number.isNaN(error) ? Infinity : error / toleranceOf(name);
    if (share >= worst.share) worst = { layer: name, error, share };
    setText('blur-verify-note', `${i + 1} of ${layers.length} layers computed in float64`);
  }, signal);
  const agrees = worst.share <= 1;
  show(agrees ? 'agrees' : 'differs', agrees ? 'Every layer agrees with the CPU' : 'Differs from the CPU');
  setText('blur-verify-note', `Of ${layers.length} layers the largest error is ${worst.error.toExponential(1)} of the `
    + `largest value in “${worst.layer}”, allowed ${toleranceOf(worst.layer).toExponential(0)}`);
  Object.assign(dataset, { agrees, maxError: worst.error });
}

function show(state: 'pending' | 'agrees' | 'differs' | 'none', words: string): void {
  verdict.dataset['verdict'] = state;
  verdict.textContent = words;
}
