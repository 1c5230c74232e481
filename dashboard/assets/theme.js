// Dark or light, and colours for canvases.

const key = "vigil.theme";
const root = document.documentElement;
const systemDark = matchMedia("(prefers-color-scheme: dark)");

/** Fires "change". */
export const themeChanges = new EventTarget();

const cache = new Map();

function changed() {
  cache.clear();
  themeChanges.dispatchEvent(new Event("change"));
}
systemDark.addEventListener("change", changed);

/** @returns {"dark" | "light"} */
export function theme() {
  const chosen = root.dataset.theme;
  if (chosen === "dark" || chosen === "light") return chosen;
  return systemDark.matches ? "dark" : "light";
}

export function toggleTheme() {
  const next = theme() === "dark" ? "light" : "dark";
  root.dataset.theme = next;
  try {
    localStorage.setItem(key, next);
  } catch {
    // Not remembered where storage is denied.
  }
  changed();
}

/** Of a custom property, such as "--text-muted". @param {string} name @returns {string} */
export function color(name) {
  let value = cache.get(name);
  if (value === undefined) {
    value = getComputedStyle(root).getPropertyValue(name).trim();
    // A canvas does not know light-dark().
    const pair = /^light-dark\((.+), (.+)\)$/.exec(value);
    if (pair) value = pair[theme() === "dark" ? 2 : 1];
    cache.set(name, value);
  }
  return value;
}

export const seriesColors = 8;

/** @param {number} index place of a series in its chart @returns {string} */
export function seriesColor(index) {
  return color(`--series-${(index % seriesColors) + 1}`);
}
