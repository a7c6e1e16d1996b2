// Colours, marks and light or dark. Told apart with any colour vision, after Okabe and Ito; marks differ as well.
const PALETTES = {
  light: ["#0b5cad", "#c4500a", "#00805a", "#a93a86", "#7d6000", "#2b8fcf", "#b3261e", "#4b4f56"],
  dark: ["#62b2f0", "#ff9a57", "#3ccf9f", "#f09bd0", "#e8d95a", "#8fd0ff", "#ff8f85", "#c3c9d1"],
};
const MARKS = ["circle", "square", "diamond", "triangle-up", "x", "cross", "triangle-down", "star"];
const SIGNS = ["●", "■", "◆", "▲", "✖", "✚", "▼", "★"];
const prefersDark = window.matchMedia("(prefers-color-scheme: dark)");
let printing = false;

const theme = () => (printing ? "light" : state.theme || (prefersDark.matches ? "dark" : "light"));
const paint = () => { document.documentElement.dataset.theme = theme(); };
const colourOf = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

function lookOf(lines) {
  const palette = PALETTES[theme()];
  return new Map(lines.map((f, index) => {
    const place = index % palette.length;
    return [f.row.id, { colour: palette[place], mark: MARKS[place], sign: SIGNS[place] }];
  }));
}
