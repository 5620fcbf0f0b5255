// @ts-check
// Everything by keyboard. The table is also what the help shows.

/** @typedef {{key: string, shown: string, word: string, run: (shift: boolean) => void}} Key */

/**
 * Listens to the keys of a table, wherever the focus is but in a field that takes text.
 * @param {Key[]} table
 */
export function listen(table) {
  document.addEventListener("keydown", (e) => {
    const on = /** @type {Element} */ (e.target);
    if (e.ctrlKey || e.metaKey || e.altKey || on.closest("input:not([type=checkbox], [type=range]), textarea, select, dialog")) return;
    if ((e.key === " " || e.key === "Enter") && on.closest("button, a, [role=button], [role=tab]")) return;
    if (e.key.startsWith("Arrow") && on.closest("input, [role=slider], [role=tab], .scroller")) return;
    const found = table.find((k) => k.key === e.key);
    if (!found) return;
    e.preventDefault();
    found.run(e.shiftKey);
  });
}
