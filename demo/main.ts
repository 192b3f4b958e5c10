import { openDetector, stopWebcam } from './detect-tab.js';
import { openExplorer } from './explore-tab.js';
import { openFilters } from './filter-tab.js';
import { currentManager } from './gpu.js';
import { openLearner, pauseLearning } from './learn-tab.js';
import { element, messageOf, setText } from './page.js';
import { setUpTabs } from './tabs.js';

/** Replaces the page by the reason and the ways out. */
function showUnsupported(reason: string): void {
  setText('unsupported-reason', reason);
  element('unsupported', HTMLElement).hidden = false;
  element('tabs', HTMLElement).hidden = true;
  element('main', HTMLElement).hidden = true;
  for (const id of ['detect', 'photo', 'learn', 'explore']) element(id, HTMLElement).dataset['state'] = 'unsupported';
}

async function start(): Promise<void> {
  try {
    const manager = await currentManager();
    setUpTabs([
      { id: 'detect', address: 'faces', open: () => openDetector(manager), leave: stopWebcam },
      { id: 'photo', address: 'filters', open: () => openFilters(manager) },
      { id: 'learn', address: 'training', open: openLearner, leave: pauseLearning },
      { id: 'explore', address: 'geometry', open: openExplorer },
    ]);
  } catch (error) {
    showUnsupported(messageOf(error));
  }
}

void start();
