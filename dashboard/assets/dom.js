// Elements. Text only becomes text nodes: names and messages of a run are not to be trusted.

/** Without what would turn the direction of the words around it. */
const plain = (text) => String(text).replace(/[\u202a-\u202e\u2066-\u2069]/g, "\ufffd");

function setProperties(element, properties) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "class") element.setAttribute("class", value);
    else if (name === "text") element.textContent = plain(value);
    else if (name === "data") for (const [key, item] of Object.entries(value)) element.dataset[key] = String(item);
    else if (name === "style") for (const [key, item] of Object.entries(value)) element.style.setProperty(key, String(item));
    else if (name === "on") for (const [key, item] of Object.entries(value)) element.addEventListener(key, item);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
}

/** @param {string} tag @param {Record<string, any>} [properties] @param {...(Child | Child[])} children @returns {any} */
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  setProperties(element, properties);
  append(element, ...children);
  return element;
}

/** @param {string} tag @param {Record<string, any>} [properties] @param {...(Child | Child[])} children @returns {any} */
export function svg(tag, properties = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  setProperties(element, properties);
  append(element, ...children);
  return element;
}

/** @param {Element} parent @param {...(Child | Child[])} children */
export function append(parent, ...children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    parent.append(child instanceof Node ? child : plain(child));
  }
}

/** Replaces what is in `parent`. @param {Element} parent @param {...(Child | Child[])} children */
export function fill(parent, ...children) {
  parent.replaceChildren();
  append(parent, ...children);
}

/** Only when it differs: that costs no layout. @param {Node} node @param {string} text */
export function setText(node, text) {
  const next = plain(text);
  if (node.textContent !== next) node.textContent = next;
}

const icons = {
  help: "M6.2 6.2a1.9 1.9 0 1 1 2.7 1.8c-.6.3-.9.7-.9 1.4M8 11.6v.1",
  theme: "M8 2.5a5.5 5.5 0 1 0 0 11zM8 2.5a5.5 5.5 0 0 1 0 11",
  table: "M2.5 3.5h11v9h-11zM2.5 6.5h11M2.5 9.5h11M6.5 6.5v6",
  reset: "M3 8a5 5 0 1 1 1.5 3.6M3 12.5V9h3.5",
  chevron: "M4.5 6.5 8 10l3.5-3.5",
  close: "m4 4 8 8M12 4l-8 8",
  filter: "M7 11.5a4.5 4.5 0 1 1 0-9 4.5 4.5 0 0 1 0 9zM10.3 10.3l3.2 3.2",
};

/** @param {keyof typeof icons} name @returns {SVGElement} */
export function icon(name) {
  return svg("svg", { class: "icon", viewBox: "0 0 16 16", "aria-hidden": "true" }, svg("path", { d: icons[name] }));
}

/** Stands in place of content. @param {PanelState} state @returns {HTMLElement} */
export function statePanel({ title, text, hint, command, action, kind = "empty" }) {
  return el("section", { class: `panel-state is-${kind}`, data: { state: kind } },
    el("h2", { text: title }),
    text && el("p", { text }),
    command && el("pre", { class: "command", text: command }),
    hint && el("p", { class: "hint", text: hint }),
    action && el("button", { class: "button", type: "button", text: action.label, on: { click: action.run } }));
}

/** Once. @param {string} name below assets/ @returns {Promise<void>} */
export function loadStyle(name) {
  const href = new URL(name, import.meta.url).href;
  for (const link of document.querySelectorAll("link[rel=stylesheet]"))
    if (link["href"] === href) return Promise.resolve();
  return new Promise((resolve) => {
    document.head.append(el("link", { rel: "stylesheet", href, on: { load: () => resolve(), error: () => resolve() } }));
  });
}
