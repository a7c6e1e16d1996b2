// Colours, marks and light or dark. Told apart with any colour vision, after Okabe and Ito; marks differ as well.
import { state } from "./state.mjs";

const PALETTES = {
  light: ["#0b5cad", "#c4500a", "#00805a", "#a93a86", "#7d6000", "#2b8fcf", "#b3261e", "#4b4f56"],
  dark: ["#62b2f0", "#ff9a57", "#3ccf9f", "#f09bd0", "#e8d95a", "#8fd0ff", "#ff8f85", "#c3c9d1"],
};
export const MARKS = ["circle", "square", "diamond", "triangle-up", "x", "cross", "triangle-down", "star"];
const SIGNS = ["●", "■", "◆", "▲", "✖", "✚", "▼", "★"];
export let printing = false;

// Paper is light, whatever the screen is.
export function setPrinting(value) {
  printing = value;
}

export const prefersDark = () => window.matchMedia("(prefers-color-scheme: dark)");
export const theme = () => (printing ? "light" : state.theme || (prefersDark().matches ? "dark" : "light"));
export const palette = () => PALETTES[theme()];
export const colourOf = (name) =>
  getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
export const faded = (colour, strength) =>
  colour +
  Math.round(255 * strength)
    .toString(16)
    .padStart(2, "0");

export function paint() {
  document.documentElement.dataset.theme = theme();
}

export function lookOf(lines) {
  const colours = palette();
  const look = (place) => ({ colour: colours[place], mark: MARKS[place], sign: SIGNS[place] });
  return new Map(lines.map((f, index) => [f.row.id, look(index % colours.length)]));
}
