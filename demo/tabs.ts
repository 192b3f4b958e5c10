export interface Tab {
  /** Of the panel; the tab's button has `tab-` before it. */
  readonly id: string;
  /** What follows `#` in the page's address; no element's id, or the browser would scroll there. */
  readonly address: string;
  /** Called once, when the panel is shown for the first time. Gives what starts its work again. */
  readonly open: () => () => void;
  /** Called whenever another tab takes over. */
  readonly leave?: () => void;
}

/**
 * Tabs as the ARIA pattern has them: arrow keys, Home and End move between them, and the one with focus is shown.
 * One that failed works again when it is shown again. Gives what starts the work of the shown one again.
 */
export function setUpTabs(tabs: readonly Tab[]): () => void {
  const opened = new Map<Tab, () => void>();
  const button = ({ id }: Tab): HTMLElement => document.getElementById(`tab-${id}`)!;
  let shown: Tab | undefined;
  const show = (tab: Tab): void => {
    if (shown !== tab) shown?.leave?.();
    shown = tab;
    for (const one of tabs) {
      button(one).setAttribute('aria-selected', String(one === tab));
      button(one).tabIndex = one === tab ? 0 : -1;
      document.getElementById(one.id)!.hidden = one !== tab;
    }
    history.replaceState(null, '', `#${tab.address}`);
    const again = opened.get(tab);
    if (again === undefined) opened.set(tab, tab.open());
    else if (document.getElementById(tab.id)!.dataset['state'] === 'failed') again();
  };
  const ofAddress = (): Tab => tabs.find(({ address }) => `#${address}` === location.hash) ?? tabs[0]!;
  for (const [i, tab] of tabs.entries()) {
    button(tab).addEventListener('click', () => show(tab));
    button(tab).addEventListener('keydown', (event) => {
      const target = {
        ArrowRight: tabs[(i + 1) % tabs.length], ArrowLeft: tabs.at(i - 1), Home: tabs[0], End: tabs.at(-1),
      }[event.key];
      if (target === undefined) return;
      event.preventDefault();
      button(target).focus();
      show(target);
    });
  }
  addEventListener('hashchange', () => show(ofAddress()));
  show(ofAddress());
  return () => opened.get(shown!)?.();
}
