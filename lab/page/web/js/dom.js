// @ts-check
// Elements, made in one line each.

const svgSpace = "http://www.w3.org/2000/svg";

/**
 * @param {Element} element
 * @param {Record<string, any>} attributes null and undefined remove; functions listen; "text" is the content
 */
export function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") {
      if (element.textContent !== value) element.textContent = value;
    } else if (typeof value === "function") {
      element.addEventListener(name, value);
    } else if (value === null || value === undefined || value === false) {
      if (element.hasAttribute(name)) element.removeAttribute(name);
    } else {
      const text = value === true ? "" : String(value);
      if (element.getAttribute(name) !== text) element.setAttribute(name, text);
    }
  }
}

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} name
 * @param {Record<string, any>} [attributes]
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function html(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  set(element, attributes);
  element.append(...children);
  return element;
}

/**
 * @template {keyof SVGElementTagNameMap} K
 * @param {K} name
 * @param {Record<string, any>} [attributes]
 * @param {...(Node | string)} children
 * @returns {SVGElementTagNameMap[K]}
 */
export function svg(name, attributes = {}, ...children) {
  const element = document.createElementNS(svgSpace, name);
  set(element, attributes);
  element.append(...children);
  return element;
}

/**
 * Keeps one element for each key: makes the missing ones, updates all, removes the rest. The order is that of the keys' first appearance.
 * @template T
 * @template {Element} E
 */
export class Keyed {
  /**
   * @param {Element} parent
   * @param {(item: T) => E} make
   * @param {(element: E, item: T) => void} update
   * @param {(element: E) => void} [leave] removes the element, by and by
   */
  constructor(parent, make, update, leave = (e) => e.remove()) {
    this.parent = parent;
    this.make = make;
    this.update = update;
    this.leave = leave;
    /** @type {Map<string | number, E>} */
    this.elements = new Map();
  }

  /** @param {Iterable<T>} items @param {(item: T) => string | number} key */
  show(items, key) {
    const left = new Set(this.elements.keys());
    for (const item of items) {
      const k = key(item);
      left.delete(k);
      let element = this.elements.get(k);
      if (!element) {
        element = this.make(item);
        this.elements.set(k, element);
        this.parent.append(element);
      }
      this.update(element, item);
    }
    for (const k of left) {
      const element = this.elements.get(k);
      this.elements.delete(k);
      if (element) this.leave(element);
    }
  }
}

/** @template {Element} [E=HTMLElement] @param {string} id @returns {E} */
export function byID(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no #${id}`);
  return /** @type {any} */ (element);
}
