import { element, make } from './page.js';

/** A photo by its name, not decoded yet. */
export interface PhotoSource {
  readonly name: string;
  readonly load: () => Promise<Blob>;
}

// Written out, because the bundler finds an asset by this literal form only.
const samples = [
  new URL('../node_modules/@vladmandic/face-api/demo/sample1.jpg', import.meta.url),
  new URL('../node_modules/@vladmandic/face-api/demo/sample2.jpg', import.meta.url),
  new URL('../node_modules/@vladmandic/face-api/demo/sample3.jpg', import.meta.url),
  new URL('../node_modules/@vladmandic/face-api/demo/sample4.jpg', import.meta.url),
  new URL('../node_modules/@vladmandic/face-api/demo/sample5.jpg', import.meta.url),
  new URL('../node_modules/@vladmandic/face-api/demo/sample6.jpg', import.meta.url),
].map(({ href }, i) => ({ id: `sample${i + 1}`, label: `Sample photo ${i + 1}`, href }));

/** The sample that is chosen when a tab opens, counted from 1. */
export const firstPhoto = (number = 1): PhotoSource => fromSample(samples[number - 1]!);

/**
 * Fills a tab's choice of photos and calls back for each that is chosen. The tab's elements have the ids of `prefix`
 * and `samples`, `file`, `chosen`; a photo may be dropped anywhere while the tab is shown. `first`: the sample that is
 * chosen at first, counted from 1. What it gives forgets the choice, so that any photo can be chosen again.
 */
export function setUpPhotos(
  prefix: string, panel: HTMLElement, onPhoto: (source: PhotoSource) => void, first = 1,
): () => void {
  const file = element(`${prefix}file`, HTMLInputElement);
  const chosen = element(`${prefix}chosen`, HTMLElement);
  const list = element(`${prefix}samples`, HTMLElement);
  const invitation = chosen.textContent;
  list.replaceChildren(...samples.map((sample, i) => {
    const radio = make('input', { type: 'radio', name: `${prefix}sample`, value: sample.id });
    radio.checked = i === first - 1;
    radio.addEventListener('change', () => {
      file.value = '';
      chosen.textContent = invitation;
      onPhoto(fromSample(sample));
    });
    const thumbnail = make('img', {
      width: '96', height: '64', src: sample.href, alt: sample.label, decoding: 'async',
    });
    return make('label', {}, radio, thumbnail);
  }));
  const uncheck = (): void => {
    for (const radio of list.querySelectorAll<HTMLInputElement>('input')) radio.checked = false;
  };
  const choose = (own: File | undefined): void => {
    if (own === undefined) return;
    uncheck();
    chosen.textContent = own.name;
    onPhoto({ name: own.name, load: () => Promise.resolve(own) });
  };
  file.addEventListener('change', () => choose(file.files?.[0]));
  acceptDrops(panel, choose);
  return () => {
    uncheck();
    file.value = '';
    chosen.textContent = invitation;
  };
}

const fromSample = ({ id, href }: { id: string; href: string }): PhotoSource => ({
  name: id,
  load: async () => {
    const response = await fetch(href);
    if (!response.ok) throw new Error(`The sample photo did not load: ${response.status} ${response.statusText}`);
    return response.blob();
  },
});

function acceptDrops(panel: HTMLElement, choose: (file: File | undefined) => void): void {
  const marker = document.body.classList;
  addEventListener('dragover', (event) => {
    if (panel.hidden) return;
    event.preventDefault(); // otherwise the browser leaves the page to show the file
    marker.add('dropping');
  });
  addEventListener('dragleave', ({ relatedTarget }) => {
    if (relatedTarget === null) marker.remove('dropping');
  });
  addEventListener('drop', (event) => {
    if (panel.hidden) return;
    event.preventDefault();
    marker.remove('dropping');
    choose(event.dataTransfer?.files[0]);
  });
}
