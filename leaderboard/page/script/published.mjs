// Published figures of a board: a table, and a plot of gaps in papers against gaps measured here.
import { unique } from "./data.mjs";
import { column, find, linked, numeric, table } from "./dom.mjs";
import { colourOf, MARKS, palette } from "./looks.mjs";
import { known, percent, points } from "./numbers.mjs";
import { axis, plot, plotText } from "./plot.mjs";
import { state } from "./state.mjs";

const COLUMNS = [
  column("Recipe", (each) => each.label),
  numeric("T", (each) => each.t),
  numeric("Paper, %", (each) => percent(each.metric)),
  numeric("Its ANN, %", (each) => percent(each.ann)),
  numeric("Its gap", (each) => points(each.gap)),
  numeric("Here, %", (each) => (known(each.here) ? percent(each.here) : "")),
  numeric("Gap here", (each) => (known(each.gapHere) ? points(each.gapHere) : "")),
  column("Evidence", (each) => each.evidence),
  column("Source", (each) => linked(`${each.paper}. ${each.source}`)),
];

export function publishedTable(board) {
  const found = board.published.filter((each) => state.groups.includes(each.group));
  find("published").hidden = !found.length;
  const caption = "Published, beside what was measured here at the same T";
  find("published-table").replaceChildren(found.length ? table(caption, COLUMNS, found) : "");
}

export function drawPublished(board) {
  const isPair = (each) => state.groups.includes(each.group) && known(each.gap) && known(each.gapHere);
  const pairs = board.published.filter(isPair);
  find("figure-published").hidden = !pairs.length;
  if (!pairs.length) return;
  const values = pairs.flatMap((each) => [each.gap, each.gapHere]);
  const ends = [Math.min(...values, 0) - 1, Math.max(...values, 0) + 1];
  const colours = palette();
  const marks = unique(pairs.map((each) => each.recipe)).map((recipe, index) => {
    const own = pairs.filter((each) => each.recipe === recipe);
    return {
      type: "scatter",
      mode: "markers+text",
      x: own.map((each) => each.gap),
      y: own.map((each) => each.gapHere),
      name: plotText(recipe),
      text: own.map((_, place) => (place ? "" : plotText(recipe))),
      textposition: "top center",
      textfont: { color: colourOf("text") },
      customdata: own.map((each) => plotText(`${each.label}, T = ${each.t}`)),
      marker: { size: 9, symbol: MARKS[index % MARKS.length], color: colours[index % colours.length] },
      hovertemplate: "%{customdata}<br>paper %{x:+.2f}, here %{y:+.2f} points<extra></extra>",
    };
  });
  const line = { dash: "dash", width: 1, color: colourOf("muted") };
  const diagonal = { type: "scatter", mode: "lines", x: ends, y: ends, line, hoverinfo: "skip" };
  const layout = { xaxis: axis("gap in the paper, points"), yaxis: axis("gap here, points") };
  plot(find("plot-published"), [diagonal, ...marks], layout);
}
