// @ts-check
// How a page looks, in figures: what is too wide, and what can hardly be read. The functions run in the page.

/** Whether the page is dark. */
export function isDark() {
  const [r, g, b] = (getComputedStyle(document.body).backgroundColor.match(/[\d.]+/g) ?? []).map(Number);
  return r + g + b < 384;
}

/** Elements that make the page scroll sideways; empty: it does not. */
export function tooWide() {
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= width) return [];
  return [...document.querySelectorAll("body *")].filter((one) => one.getBoundingClientRect().right > width + 1)
    .slice(0, 5).map((one) => `${one.tagName}.${one.getAttribute("class")} to ${Math.round(one.getBoundingClientRect().right)} of ${width}`);
}

/**
 * Text that is shown with less contrast to what lies behind it than `least`, as WCAG 2 computes it (section 1.4.3); without what is switched off.
 * @param {number} least
 */
export function faintTexts(least) {
  /** @param {string} text @returns {[number, number, number, number]} */
  const parse = (text) => {
    const numbers = (text.match(/-?[\d.]+(e-?\d+)?/g) ?? ["0", "0", "0", "0"]).map(Number);
    const scale = text.startsWith("color(srgb") ? 255 : 1;
    return [numbers[0] * scale, numbers[1] * scale, numbers[2] * scale, numbers[3] ?? 1];
  };
  /** @param {number[]} over @param {number[]} under */
  const blend = (over, under) => [0, 1, 2].map((i) => over[i] * over[3] + under[i] * (1 - over[3]));
  const light = (/** @type {number[]} */ of) => {
    const [r, g, b] = of.map((value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  /** @type {Map<Element, number[]>} */
  const grounds = new Map();
  /** @param {Element | null} element @returns {number[]} */
  const groundOf = (element) => {
    if (!element) return parse(getComputedStyle(document.documentElement).colorScheme.startsWith("dark") ? "rgb(18, 18, 18)" : "rgb(255, 255, 255)");
    const known = grounds.get(element);
    if (known) return known;
    const own = parse(getComputedStyle(element).backgroundColor);
    const ground = blend(own, groundOf(element.parentElement));
    grounds.set(element, ground);
    return ground;
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!element || !node.textContent?.trim() || element.closest("script, noscript, [disabled], option")) continue;
    if (!element.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true }) || element.closest(".visually-hidden")) continue;
    const box = element.getBoundingClientRect();
    if (box.width < 2 || box.height < 2 || box.right < 0 || box.bottom < 0) continue;
    const style = getComputedStyle(element);
    let opacity = 1;
    for (let at = /** @type {Element | null} */ (element); at; at = at.parentElement) opacity *= Number(getComputedStyle(at).opacity);
    const ground = groundOf(element);
    const ink = parse(element instanceof SVGElement ? style.fill : style.color);
    const shown = blend([ink[0], ink[1], ink[2], ink[3] * opacity], ground);
    const [bright, dark] = [light(shown), light(ground)].sort((a, b) => b - a);
    const contrast = (bright + 0.05) / (dark + 0.05);
    if (contrast < least) found.push(`${contrast.toFixed(2)}: "${node.textContent.trim().slice(0, 40)}" in ${element.tagName}.${element.getAttribute("class")}, ${style.color} on rgb(${ground.map(Math.round)})`);
  }
  return [...new Set(found)];
}

/** Texts that are drawn over each other, as far as they are seen. */
export function overlappingTexts() {
  /** The part of a box that its ancestors do not cut off. @param {DOMRect} box @param {Element | null} element */
  const seen = (box, element) => {
    let { left, top, right, bottom } = box;
    for (let at = element; at && at !== document.body; at = at.parentElement) {
      const { overflowX, overflowY } = getComputedStyle(at);
      const own = at.getBoundingClientRect();
      if (overflowX !== "visible") [left, right] = [Math.max(left, own.left), Math.min(right, own.right)];
      if (overflowY !== "visible") [top, bottom] = [Math.max(top, own.top), Math.min(bottom, own.bottom)];
    }
    return { left, top, right, bottom };
  };
  const texts = [];
  const walker = document.createTreeWalker(document.querySelector("dialog[open]") ?? document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    const text = node.textContent?.trim();
    // A head that stays in place while its table scrolls is meant to cover what is below it.
    if (!element || !text || element.closest("script, noscript, option, .visually-hidden, .skip, thead, .tip")) continue;
    if (!element.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true })) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const box of range.getClientRects()) {
      const part = seen(box, element);
      if (part.right - part.left > 2 && part.bottom - part.top > 2) texts.push({ node, text: text.slice(0, 30), ...part });
    }
  }
  const found = [];
  for (const [i, one] of texts.entries()) {
    for (const other of texts.slice(i + 1)) {
      if (one.node === other.node) continue;
      const width = Math.min(one.right, other.right) - Math.max(one.left, other.left);
      const height = Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top);
      if (width > 2 && height > 5) found.push(`"${one.text}" and "${other.text}" by ${Math.round(width)} × ${Math.round(height)}`);
    }
  }
  return [...new Set(found)].slice(0, 8);
}
