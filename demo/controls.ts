import type { Padding, Strategy } from 'sepconv-webgpu';
import { filters, type PhotoFilter } from './filters.js';

/** What the viewer asks for. */
export interface Settings {
  readonly filter: PhotoFilter;
  /** 0 to 1 */
  readonly strength: number;
  readonly stride: number;
  readonly rate: number;
  readonly padding: Padding;
  readonly strategy: Strategy;
  /** The photo's longest side, in pixels. */
  readonly size: number;
}

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

/** The page's element of that id. @throws Error when the page has none of that type */
export function element<T extends Element>(id: string, type: abstract new (...args: never[]) => T): T {
  const found = document.getElementById(id);
  if (!(found instanceof type)) throw new Error(`The page has no ${type.name} #${id}`);
  return found;
}

const form = element('controls', HTMLFormElement);
const strength = element('strength', HTMLInputElement);
const file = element('file', HTMLInputElement);

/** Fills the lists, and calls back for every change of a setting and for every photo. */
export function setUpControls(onSettings: () => void, onPhoto: (source: PhotoSource) => void): void {
  fillFilters();
  fillSamples(onPhoto);
  describe();
  form.addEventListener('submit', (event) => event.preventDefault());
  form.addEventListener('input', ({ target }) => {
    if (!(target instanceof Element) || target.closest('#photos') !== null) return;
    describe();
    onSettings();
  });
  const choose = (chosen: File | undefined): void => {
    if (chosen === undefined) return;
    for (const radio of form.querySelectorAll<HTMLInputElement>('[name=sample]')) radio.checked = false;
    element('chosen', HTMLElement).textContent = chosen.name;
    onPhoto({ name: chosen.name, load: () => Promise.resolve(chosen) });
  };
  file.addEventListener('change', () => choose(file.files?.[0]));
  acceptDrops(choose);
}

export function readSettings(): Settings {
  const { value } = element('padding', HTMLSelectElement);
  const pixels = Number(value);
  return {
    filter: chosenFilter(),
    strength: strength.valueAsNumber / 100,
    stride: numberOf('stride'),
    rate: numberOf('rate'),
    padding: value === 'SAME' || value === 'VALID' ? value : [[pixels, pixels], [pixels, pixels]],
    strategy: element('strategy', HTMLSelectElement).value as Strategy,
    size: numberOf('size'),
  };
}

/** The sample that is chosen when the page opens. */
export function firstPhoto(): PhotoSource {
  return fromSample(samples[0]!);
}

const numberOf = (id: string): number => Number(element(id, HTMLSelectElement).value);

function chosenFilter(): PhotoFilter {
  const { value } = element('filter', HTMLSelectElement);
  const filter = filters.find(({ id }) => id === value);
  if (filter === undefined) throw new Error(`There is no filter '${value}'`);
  return filter;
}

function describe(): void {
  element('strength-value', HTMLOutputElement).value = `${strength.value} %`;
  element('about', HTMLElement).textContent = chosenFilter().about;
}

function fillFilters(): void {
  const groups = Map.groupBy(filters, ({ group }) => group);
  element('filter', HTMLSelectElement).replaceChildren(...Array.from(groups, ([label, members]) => {
    const group = Object.assign(document.createElement('optgroup'), { label });
    group.append(...members.map((filter) => new Option(filter.label, filter.id, filter.id === 'edges', filter.id === 'edges')));
    return group;
  }));
}

const fromSample = ({ id, href }: { id: string; href: string }): PhotoSource => ({
  name: id,
  load: async () => {
    const response = await fetch(href);
    if (!response.ok) throw new Error(`The sample photo did not load: ${response.status} ${response.statusText}`);
    return response.blob();
  },
});

function fillSamples(onPhoto: (source: PhotoSource) => void): void {
  element('samples', HTMLElement).replaceChildren(...samples.map((sample, i) => {
    const label = document.createElement('label');
    const radio = Object.assign(document.createElement('input'), {
      type: 'radio', name: 'sample', value: sample.id, checked: i === 0,
    });
    radio.addEventListener('change', () => {
      file.value = '';
      element('chosen', HTMLElement).textContent = 'Choose a photo';
      onPhoto(fromSample(sample));
    });
    const thumbnail = Object.assign(new Image(96, 64), { src: sample.href, alt: sample.label, decoding: 'async' });
    label.append(radio, thumbnail);
    return label;
  }));
}

/** A photo may be dropped anywhere on the page. */
function acceptDrops(choose: (file: File | undefined) => void): void {
  const marker = document.body.classList;
  addEventListener('dragover', (event) => {
    event.preventDefault(); // otherwise the browser leaves the page to show the file
    marker.add('dropping');
  });
  addEventListener('dragleave', ({ relatedTarget }) => {
    if (relatedTarget === null) marker.remove('dropping');
  });
  addEventListener('drop', (event) => {
    event.preventDefault();
    marker.remove('dropping');
    choose(event.dataTransfer?.files[0]);
  });
}
