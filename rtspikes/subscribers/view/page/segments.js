/** A row of buttons of which one is down. */

/** Fill a box with [value, words, title] choices; returns a function that shows which is chosen. */
export const createSegments = (box, choices, choose) => {
  const buttons = choices.map(([value, words, title = ""]) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = words;
    button.title = title;
    button.dataset.value = value;
    button.addEventListener("click", () => choose(value));
    return button;
  });
  box.replaceChildren(...buttons);
  return (chosen) => {
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset.value === String(chosen)));
  };
};
