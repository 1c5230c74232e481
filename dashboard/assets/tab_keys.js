// @ts-check
// Arrow keys among the tabs of the header.

/** @param {HTMLElement} tabs @param {string} key */
export function onTabKey(tabs, key) {
  const step = key === "ArrowRight" ? 1 : key === "ArrowLeft" ? -1 : 0;
  const all = /** @type {HTMLElement[]} */ ([...tabs.children]);
  const place = all.findIndex((tab) => tab === document.activeElement);
  if (step !== 0 && place >= 0) all[(place + step + all.length) % all.length].focus();
}
