/** The page's element of that id. @throws Error when the page has none of that type */
export function element<T extends Element>(id: string, type: abstract new (...args: never[]) => T): T {
  const found = document.getElementById(id);
  if (!(found instanceof type)) throw new Error(`The page has no ${type.name} #${id}`);
  return found;
}

export function setText(id: string, value: string): void {
  element(id, HTMLElement).textContent = value;
}

/** A new element with attributes and children. */
export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K, attributes: Record<string, string> = {}, ...children: (string | Node)[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

export const shapeText = (shape: readonly number[]): string => shape.join('×');

export function duration(milliseconds: number): string {
  if (milliseconds >= 1000) return `${(milliseconds / 1000).toFixed(2)} s`;
  return `${milliseconds.toPrecision(milliseconds >= 100 ? 3 : 2)} ms`;
}

/** The index as (n, y, x, o). */
export function position(index: number, [, H, W, C]: readonly [number, number, number, number]): string {
  const pixel = Math.floor(index / C);
  return `(${Math.floor(pixel / (H * W))}, ${Math.floor(pixel / W) % H}, ${pixel % W}, ${index % C})`;
}

export function savePng(canvas: HTMLCanvasElement, name: string): void {
  canvas.toBlob((png) => {
    if (png === null) return;
    saveAs(png, `${name}.png`);
  }, 'image/png');
}

/** Milliseconds that a browser may take to read what is saved. */
const SAVING = 60_000;

/** Lets the browser save a file. */
export function saveAs(content: Blob, name: string): void {
  const href = URL.createObjectURL(content);
  make('a', { href, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(href), SAVING);
}

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** What nothing caught, GPU validation errors too. */
export function onPageError(show: (message: string) => void): void {
  addEventListener('error', ({ message }) => show(message.replace(/^Uncaught (Error: )?/, '')));
}
