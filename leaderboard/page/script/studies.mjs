// Histories of tuning studies: their figures come ready from the page's maker, but for colours.
import { data } from "./data.mjs";
import { find } from "./dom.mjs";
import { colourOf, palette, theme } from "./looks.mjs";
import { axis, plot } from "./plot.mjs";

let drawnIn = null; // theme

export function drawStudies() {
  if (drawnIn === theme()) return;
  drawnIn = theme();
  const colour = (name) => (typeof name === "number" ? palette()[name] : colourOf(name));
  data.studies.forEach((figure, index) => {
    const traces = figure.data.map((trace) => {
      const color = colour(trace.meta.colour);
      return { ...trace, line: { ...trace.line, color }, marker: { ...trace.marker, color } };
    });
    const layout = {
      xaxis: { ...axis(""), ...figure.layout.xaxis },
      yaxis: { ...axis(""), ...figure.layout.yaxis },
      margin: { l: 72, r: 12, t: 12, b: 48 },
    };
    plot(find(`study-${index + 1}`), traces, layout, 320);
  });
}
