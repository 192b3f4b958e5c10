import type { Padding, Strategy } from 'sepconv-webgpu';
import { filters, type PhotoFilter } from './filters.js';
import { element } from './page.js';
import { type PhotoSource, setUpPhotos } from './photos.js';

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

const form = element('controls', HTMLFormElement);
const strength = element('strength', HTMLInputElement);

/** Fills the lists, and calls back for every change of a setting and for every photo. */
export function setUpControls(onSettings: () => void, onPhoto: (source: PhotoSource) => void): void {
  fillFilters();
  setUpPhotos('', element('photo', HTMLElement), onPhoto);
  describe();
  form.addEventListener('submit', (event) => event.preventDefault());
  form.addEventListener('input', ({ target }) => {
    if (!(target instanceof Element) || target.closest('#photos') !== null) return;
    describe();
    onSettings();
  });
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
    group.append(...members.map((filter) => {
      const chosen = filter.id === 'edges';
      return new Option(filter.label, filter.id, chosen, chosen);
    }));
    return group;
  }));
}
