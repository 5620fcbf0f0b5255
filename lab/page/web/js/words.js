// @ts-check
// All words of the page, in the language in force. The texts themselves are in ../lang, one file a language.

import en from "../lang/en.js";
import zh from "../lang/zh.js";

/** @type {Record<string, any>} */
const languages = { en, zh };

let language = "en";
/** @type {Set<() => void>} */
const followers = new Set();

/** The language in force: "en" or "zh". */
export const current = () => language;

/** Calls f whenever the language changes. @param {() => void} f */
export const onLanguage = (f) => void followers.add(f);

/** @param {string} name */
export function speak(name) {
  language = name in languages ? name : "en";
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  localStorage.setItem("balsa-language", language);
  dress(document.body);
  for (const f of followers) f();
}

/** What the reader has chosen before, or the browser prefers. */
export function preferred() {
  const chosen = localStorage.getItem("balsa-language");
  if (chosen) return chosen;
  return navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
}

/** @param {any} text @param {Record<string, any>} values */
const fill = (text, values) => String(text).replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ""));

/**
 * A text by its name, "a.b.c", with values for what is in braces.
 * @param {string} name
 * @param {Record<string, any>} [values]
 */
export function word(name, values = {}) {
  const text = find(languages[language], name) ?? find(en, name);
  return text === undefined ? name : fill(text, values);
}

/** Whatever stands under a name, or undefined. @param {string} name */
export const lookUp = (name) => find(languages[language], name) ?? find(en, name);

/** @param {any} from @param {string} name */
function find(from, name) {
  for (const part of name.split(".")) from = from?.[part];
  return from;
}

/** A rule of the core, in this language. Rules come in English from the core itself. @param {string} rule */
export const ruleText = (rule) => languages[language].rules?.[rule] ?? rule;

/**
 * Fills the elements that name their texts: data-word is the content, data-title the tooltip and label.
 * @param {Element} root
 */
export function dress(root) {
  for (const e of root.querySelectorAll("[data-word]")) e.textContent = word(/** @type {HTMLElement} */ (e).dataset.word ?? "");
  for (const e of root.querySelectorAll("[data-title]")) {
    const text = word(/** @type {HTMLElement} */ (e).dataset.title ?? "");
    e.setAttribute("title", text);
    e.setAttribute("aria-label", text);
  }
}
