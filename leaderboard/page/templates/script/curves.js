// The plots below the ranking: metric over time and energy, energy of layers, published against measured.
const NEAR_POINTS = 5;
const MOST_GREY = 80;

function withinLimit(row) {
  const limit = Number(state.t) || Infinity;
  return curveOf(row).filter((point) => point.t <= limit);
}

function greyLines(rest, x, hover) {
  return rest.slice(0, MOST_GREY).map((f) => {
    const curve = withinLimit(f.row).filter((point) => x(point) > 0);
    return { type: "scatter", mode: curve.length > 1 ? "lines" : "markers", x: curve.map(x), y: curve.map((point) => point.metric),
      line: { width: 1, color: faded(colourOf("muted"), 0.35) }, marker: { size: 5, color: faded(colourOf("muted"), 0.5) },
      name: plotText(f.row.label), hovertemplate: `%{fullData.name}<br>${hover}<extra></extra>` };
  });
}

function band(points, x, colour) {
  const bounded = points.filter((point) => known(point.low));
  if (bounded.length < 2) return [];
  return [{ type: "scatter", mode: "lines", x: [...bounded.map(x), ...bounded.map(x).reverse()],
    y: [...bounded.map((point) => point.high), ...bounded.map((point) => point.low).reverse()],
    fill: "toself", fillcolor: faded(colour, 0.1), line: { width: 0 }, hoverinfo: "skip" }];
}

function line(f, look, x, hover) {
  const curve = withinLimit(f.row).filter((point) => x(point) > 0);
  return { type: "scatter", mode: "lines+markers", x: curve.map(x), y: curve.map((point) => point.metric), name: plotText(f.row.label),
    customdata: curve.map((point) => [totalSteps(point.t, point.averaged), range(point.low, point.high)]),
    line: { width: 2, color: look.colour }, marker: { size: 8, symbol: look.mark, color: look.colour },
    hovertemplate: `%{fullData.name}<br>${hover}<br>%{y:.2f} % (%{customdata[1]})<extra></extra>` };
}

function metricAxis(board, shown) {
  const best = Math.max(...shown.map((f) => f.point.metric), board.ann ?? 0);
  const near = { range: [(board.ann ?? best) - NEAR_POINTS, best + NEAR_POINTS / 8], autorange: false };
  return axis(`${board.metric}, %`, state.near ? near : { autorange: true });
}

function drawTime(board, shown, lines, looks) {
  const x = (point) => point.t;
  const times_ = shown.flatMap((f) => withinLimit(f.row).map(x));
  const [low, high] = [Math.min(...times_), Math.max(...times_, 2 * Math.min(...times_))];
  const rest = shown.filter((f) => !looks.has(f.row.id));
  const traces = [...greyLines(rest, x, "T = %{x:.4~g}<br>%{y:.2f} %"),
    ...lines.flatMap((f) => band(withinLimit(f.row), x, looks.get(f.row.id).colour)),
    ...lines.map((f) => line(f, looks.get(f.row.id), x, "T = %{customdata[0]}"))];
  if (board.ann !== null) {
    traces.push({ type: "scatter", mode: "lines", x: [low, high], y: [board.ann, board.ann], name: "ANN", line: { dash: "dash", width: 1.5, color: colourOf("text") },
      hovertemplate: `ANN ${percent(board.ann)} %<extra></extra>` });
  }
  plot(find("plot-time"), traces, { xaxis: axis("time steps T", { type: "log", ...doublingTicks(times_) }), yaxis: metricAxis(board, shown) });
}

// No other read-out of the group is both cheaper and better.
function front(reached) {
  const kept = [];
  for (const point of [...reached].sort((a, b) => a[0] - b[0] || b[1] - a[1])) if (!kept.length || point[1] > kept.at(-1)[1]) kept.push(point);
  return kept;
}

function drawEnergy(board, shown, lines, looks) {
  const model = modelIndex();
  const x = (point) => point.energy[model];
  const rest = shown.filter((f) => !looks.has(f.row.id));
  const dashes = { binary: "solid", "multi-level": "dash", retrained: "dot" };
  const traces = greyLines(rest, x, "%{x:.3g} µJ<br>%{y:.2f} %");
  for (const [group, dash] of Object.entries(dashes)) {
    const reached = shown.filter((f) => f.row.group === group && f.row.alphabet !== "none").flatMap((f) => withinLimit(f.row).filter((p) => x(p) > 0).map((p) => [x(p), p.metric]));
    const best = front(reached);
    if (best.length) {
      traces.push({ type: "scatter", mode: "lines+markers", x: best.map((p) => p[0]), y: best.map((p) => p[1]), name: `Pareto front, ${group}`,
        line: { shape: "hv", width: 1, dash, color: colourOf("muted") }, marker: { symbol: "circle-open", size: 15, color: colourOf("muted") }, hoverinfo: "skip" });
    }
  }
  traces.push(...lines.map((f) => line(f, looks.get(f.row.id), x, "T = %{customdata[0]}, %{x:.3g} µJ")));
  if (board.ann !== null && board.annEnergy[model]) {
    traces.push({ type: "scatter", mode: "markers", x: [board.annEnergy[model]], y: [board.ann], name: "ANN", marker: { symbol: "star", size: 14, color: colourOf("text") },
      hovertemplate: "ANN<br>%{x:.3g} µJ<br>%{y:.2f} %<extra></extra>" });
  }
  const all = traces.flatMap((trace) => trace.x);
  plot(find("plot-energy"), traces, { xaxis: axis("energy an image, µJ", { type: "log", ...decimalTicks(all) }), yaxis: metricAxis(board, shown) });
}

function drawLayers(lines, looks) {
  const model = modelIndex();
  const kept = lines.filter((f) => f.row.layers?.energy[model]);
  find("figure-layers").hidden = !kept.length;
  if (!kept.length) return;
  const traces = kept.map((f) => ({ type: "scatter", mode: "lines+markers", name: plotText(f.row.label), x: f.row.layers.names.map(plotText), y: f.row.layers.energy[model],
    line: { width: 1.5, color: looks.get(f.row.id).colour }, marker: { size: 6, symbol: looks.get(f.row.id).mark, color: looks.get(f.row.id).colour },
    hovertemplate: `%{fullData.name}, T = ${steps(f.row.layers.t)}<br>%{x}<br>%{y:.3g} µJ<extra></extra>` }));
  plot(find("plot-layers"), traces, { xaxis: layerAxis(unique(kept.flatMap((f) => f.row.layers.names))), yaxis: axis("energy an image, µJ", { rangemode: "tozero" }) });
}

function drawPublished(board, looks) {
  const pairs = board.published.filter((each) => state.groups.includes(each.group) && known(each.gap) && known(each.gapHere));
  find("figure-published").hidden = !pairs.length;
  if (!pairs.length) return;
  const values = pairs.flatMap((each) => [each.gap, each.gapHere]);
  const ends = [Math.min(...values, 0) - 1, Math.max(...values, 0) + 1];
  const recipes = unique(pairs.map((each) => each.recipe));
  const palette = PALETTES[theme()];
  const traces = [{ type: "scatter", mode: "lines", x: ends, y: ends, line: { dash: "dash", width: 1, color: colourOf("muted") }, hoverinfo: "skip" },
    ...recipes.map((recipe, index) => {
      const own = pairs.filter((each) => each.recipe === recipe);
      return { type: "scatter", mode: "markers+text", x: own.map((each) => each.gap), y: own.map((each) => each.gapHere), name: plotText(recipe),
        text: own.map((each, place) => (place ? "" : plotText(recipe))), textposition: "top center", textfont: { color: colourOf("text") },
        customdata: own.map((each) => plotText(`${each.label}, T = ${each.t}`)), marker: { size: 9, symbol: MARKS[index % MARKS.length], color: palette[index % palette.length] },
        hovertemplate: "%{customdata}<br>paper %{x:+.2f}, here %{y:+.2f} points<extra></extra>" };
    })];
  plot(find("plot-published"), traces, { xaxis: axis("gap in the paper, points"), yaxis: axis("gap here, points") });
}

function publishedTable(board) {
  const found = board.published.filter((each) => state.groups.includes(each.group));
  find("published").hidden = !found.length;
  const number = (text) => ({ number: text });
  find("published-table").replaceChildren(found.length ? table("Published, beside what was measured here at the same T",
    ["Recipe", "#T", "#Paper, %", "#Its ANN, %", "#Its gap", "#Here, %", "#Gap here", "Evidence", "Source"],
    found.map((each) => [each.label, number(each.t), number(percent(each.metric)), number(percent(each.ann)), number(points(each.gap)),
      number(known(each.here) ? percent(each.here) : ""), number(known(each.gapHere) ? points(each.gapHere) : ""), each.evidence, `${each.paper}. ${each.source}`])) : "");
}

function drawPlots() {
  const board = boardsShown().find((each) => shownOf(each).length);
  find("plots").hidden = !board;
  if (!board) { find("published").hidden = true; return; }
  const shown = shownOf(board);
  const lines = drawn(shown);
  const looks = lookOf(lines);
  find("plotted").textContent = board.title;
  find("legend").replaceChildren(...lines.map((f) => make("li", null, make("span", { style: `color:${looks.get(f.row.id).colour}`, "aria-hidden": "true" }, looks.get(f.row.id).sign), " ", f.row.label)),
    make("li", { class: "muted" }, shown.length > lines.length ? `grey: ${Math.min(MOST_GREY, shown.length - lines.length)} other rows` : ""));
  document.querySelectorAll(".model").forEach((name) => { name.textContent = state.energy; });
  document.querySelectorAll(".metric").forEach((name) => { name.textContent = board.metric; });
  find("near").setAttribute("aria-pressed", String(state.near));
  publishedTable(board);
  withPlotly(() => {
    drawTime(board, shown, lines, looks);
    drawEnergy(board, shown, lines, looks);
    drawLayers(lines, looks);
    drawPublished(board, looks);
    drawStudies();
  });
}
