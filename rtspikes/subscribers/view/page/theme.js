/** Dark or light: as chosen, else as the system has it. */

import { readPalette } from "./palette.js";
import { saveSettings } from "./settings.js";

const system = matchMedia("(prefers-color-scheme: light)");

const inForce = (settings) => settings.theme ?? (system.matches ? "light" : "dark");

export const createTheme = (store, changed) => {
  const apply = () => {
    document.documentElement.dataset.theme = inForce(store.settings);
    store.palette = readPalette();
    changed();
  };
  const toggle = () => {
    store.settings.theme = inForce(store.settings) === "dark" ? "light" : "dark";
    saveSettings(store.settings);
    apply();
  };
  system.addEventListener("change", apply);
  return { apply, toggle };
};
