/** Keys of the whole page. Who is typing, types. */

const typing = (target) => target.closest?.("input:not([type=checkbox]), textarea, select, [contenteditable]") !== null;

/** After a click the keys belong to the page again: Space pauses, and does not press the last button once more. */
const letGo = (event) => {
  if (event.detail > 0) event.target.closest?.("button, input[type=checkbox]")?.blur();
};

/** `on` maps a key (as in KeyboardEvent.key, letters small) to what it does. */
export const watchKeys = (on, open) => {
  document.addEventListener("click", letGo);
  window.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (typing(event.target)) return;
    if (open() && !["Escape", "?"].includes(event.key)) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const pressesButton = event.target.closest?.("button, input") && (key === " " || key === "Enter");
    if (!on[key] || pressesButton) return;
    event.preventDefault();
    on[key](event);
  });
};
