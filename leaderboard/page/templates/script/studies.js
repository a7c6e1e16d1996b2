// Histories of tuning studies: their figures come ready from the page's maker, but for colours.
let studiesTheme = null;

function drawStudies() {
  if (studiesTheme === theme()) return;
  studiesTheme = theme();
  data.studies.forEach((figure, index) => {
    const colour = (name) => (typeof name === "number" ? PALETTES[theme()][name] : colourOf(name));
    const traces = figure.data.map((trace) => ({ ...trace, line: { ...trace.line, color: colour(trace.meta.colour) }, marker: { ...trace.marker, color: colour(trace.meta.colour) } }));
    const { xaxis, yaxis } = figure.layout;
    plot(find(`study-${index + 1}`), traces, { xaxis: { ...axis(""), ...xaxis }, yaxis: { ...axis(""), ...yaxis }, margin: { l: 72, r: 12, t: 12, b: 48 } }, 320);
  });
}
