import { UnsupportedError } from 'sepconv-webgpu';
import { openBlur, restBlur } from './blur-tab.js';
import { openCheck, stopCheck } from './check-tab.js';
import { openDetector, stopWebcam } from './detect-tab.js';
import { openExplorer } from './explore-tab.js';
import { openFilters } from './filter-tab.js';
import { currentManager, watchGpu } from './gpu.js';
import { openLearner, pauseLearning } from './learn-tab.js';
import { element, messageOf, setText } from './page.js';
import { setUpTabs } from './tabs.js';
import { titleOf } from './watch.js';

/** Starts the shown tab's work again; there once the tabs are. */
let restart: (() => void) | undefined;

/** Says what is wrong with the GPU, and the ways out. Without tabs there is nothing else to show. */
function showTrouble(trouble: unknown): void {
  const there = trouble !== undefined;
  element('trouble', HTMLElement).hidden = !there;
  for (const id of ['tabs', 'main']) element(id, HTMLElement).hidden = there && restart === undefined;
  if (restart === undefined) {
    const state = there ? 'no-gpu' : 'working';
    const panels = ['background', 'detect', 'photo', 'learn', 'explore'];
    for (const id of panels) element(id, HTMLElement).dataset['state'] = state;
  }
  if (!there) return;
  setText('trouble-title', titleOf(trouble));
  setText('trouble-reason', messageOf(trouble));
  element('browsers', HTMLElement).hidden = !(trouble instanceof UnsupportedError);
  element('again', HTMLElement).hidden = !('gpu' in navigator); // A browser without WebGPU has none later either.
}

async function start(): Promise<void> {
  const manager = await currentManager().catch(() => undefined);
  if (manager === undefined) return; // The watcher has told why.
  restart = setUpTabs([
    { id: 'background', address: 'blur', open: openBlur, leave: restBlur },
    { id: 'detect', address: 'faces', open: () => openDetector(manager), leave: stopWebcam },
    { id: 'photo', address: 'filters', open: () => openFilters(manager) },
    { id: 'learn', address: 'training', open: openLearner, leave: pauseLearning },
    { id: 'explore', address: 'geometry', open: openExplorer },
    { id: 'gpu-check', address: 'check', open: () => openCheck(manager), leave: stopCheck },
  ]);
}

element('again', HTMLButtonElement).addEventListener('click', () => {
  showTrouble(undefined);
  document.querySelector<HTMLElement>('[role=tab][aria-selected=true]')?.focus(); // The button with the focus has gone.
  if (restart === undefined) void start();
  else restart();
});
watchGpu(showTrouble);
void start();
