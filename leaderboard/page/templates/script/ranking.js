// The ranking: one table a board, sorted within fairness groups, long ones a page at a time.
const PAGE_ROWS = 100;
const open_ = new Map(); // board and group -> rows shown so far

function columns(board) {
  const second = secondModel();
  const energy = (model) => ({
    id: model === 0 ? "energy" : "energy2", title: "Energy at parity", unit: `× ANN, ${data.models[model]}`, number: true,
    value: (f) => f.parity[model], text: (f) => energyAtParity(f, model), small: (f) => [parityBounds(f, model)],
  });
  return [
    { id: "rank", title: "#", number: true, value: (f) => f.rank, text: (f) => (f.rank === null ? "" : `${f.rank}${f.tie ? "=" : ""}`),
      hint: (f) => (f.tie ? "tie: the test set does not tell it from the first of its group" : null) },
    { id: "recipe", title: "Recipe", value: (f) => f.row.label.toLowerCase() },
    { id: "spikes", title: "Spikes", value: (f) => f.row.spikes, text: (f) => f.row.spikes },
    { id: "t", title: "T", number: true, value: (f) => f.point.t, text: (f) => totalSteps(f.point.t, f.point.averaged) },
    { id: "metric", title: board.metric, unit: "%", number: true, falls: true, value: (f) => f.point.metric, text: (f) => percent(f.point.metric),
      small: (f) => [range(f.point.low, f.point.high), f.row.std === null ? "" : `±${percent(f.row.std)} (n=${f.row.seeds})`] },
    { id: "gap", title: "Gap to ANN", unit: "points", number: true, falls: true, value: (f) => f.point.gap, text: (f) => points(f.point.gap),
      small: (f) => [pointsRange(f.point.gapLow, f.point.gapHigh)] },
    { id: "one", title: "T to parity", unit: "1 point", number: true, value: (f) => f.one, text: (f) => parity(f, f.one), small: (f) => [stepBounds(f, f.oneBounds)] },
    { id: "half", title: "T to parity", unit: "½ point", number: true, value: (f) => f.half, text: (f) => parity(f, f.half), small: (f) => [stepBounds(f, f.halfBounds)] },
    { id: "synops", title: "SynOps", unit: "an image", number: true, value: (f) => f.point.synops, text: (f) => (f.row.alphabet === "none" ? UNKNOWN : millions(f.point.synops)) },
    energy(0), ...(second ? [energy(second)] : []),
    { id: "rate", title: "Firing rate", unit: "spikes a step", number: true, value: (f) => f.point.rate, text: (f) => (known(f.point.rate) ? f.point.rate.toFixed(3) : UNKNOWN) },
  ];
}

const parity = (f, value) => (f.row.alphabet === "none" ? UNKNOWN : known(value) ? steps(value) : NEVER);

const energyAtParity = (f, model) => (f.one === null && !known(f.parity[model]) ? NEVER : times(f.parity[model]));
// The reference has no time steps, and its energy is the same at all of them.
const stepBounds = (f, pair) => (f.row.alphabet === "none" ? "" : bounds(pair, steps));
const parityBounds = (f, model) => (f.row.alphabet === "none" ? "" : bounds(f.parityBounds[model], (value) => times(value).slice(0, -1)));

// "metric" is sorted as people expect first (best or fewest on top), "-metric" the other way round.
function sorter(all) {
  const reversed = state.sort.startsWith("-");
  const column = all.find((each) => each.id === state.sort.replace(/^-/, "")) ?? all[0];
  const sign = (column.falls ? -1 : 1) * (reversed ? -1 : 1);
  return { column, direction: sign < 0 ? "descending" : "ascending", compare: (a, b) => {
    const [x, y] = [column.value(a), column.value(b)];
    if (!known(x) || !known(y)) return known(y) - known(x);
    return sign * (x < y ? -1 : x > y ? 1 : 0) || (a.rank ?? 0) - (b.rank ?? 0);
  } };
}

function headCell(column, sorted) {
  const current = sorted.column.id === column.id;
  const next = current && !state.sort.startsWith("-") ? `-${column.id}` : column.id;
  return make("th", { scope: "col", class: column.number ? "number" : null, "aria-sort": current ? sorted.direction : null, "data-column": column.id },
    make("button", { type: "button", class: "sort", click: () => change({ sort: next }, `[data-column="${column.id}"] button`) },
      column.title, column.unit ? make("small", null, column.unit) : null));
}

function rowOf(f, all, looks) {
  const look = looks.get(f.row.id);
  const swatch = make("button", { type: "button", class: "swatch", "aria-pressed": String(Boolean(look)), "aria-label": `Draw ${f.row.label}`,
    title: look ? "Drawn in the plots; press to leave it out" : "Draw it in the plots", style: look ? `color:${look.colour}` : null,
    click: () => toggleDrawn(f.row.id) }, look ? look.sign : "○");
  const cells = all.map((column) => {
    if (column.id === "recipe") {
      return make("th", { scope: "row" }, make("div", { class: "name" }, swatch,
        make("div", null, make("button", { type: "button", class: "open", "aria-haspopup": "dialog", click: () => openCell(f.row.id) }, f.row.label),
          f.row.ownAnn ? make("small", null, `own ANN ${percent(f.row.ann)} %`) : null)));
    }
    return make("td", { class: column.number ? "number" : "short", title: column.hint?.(f) }, column.text(f),
      (column.small?.(f) ?? []).filter(Boolean).map((text) => make("small", null, text)));
  });
  return make("tr", { "data-id": f.row.id, click: (event) => { if (!event.target.closest("button") && !String(getSelection())) openCell(f.row.id); } }, cells);
}

function groupBody(board, group, rows, all, looks, sorted) {
  const key = `${board.title}\n${group}`;
  const count = open_.get(key) ?? PAGE_ROWS;
  const body = make("tbody", { "data-group": group },
    make("tr", { class: "group" }, make("th", { scope: "rowgroup", colspan: all.length }, make("span", null, data.groups[group], " ", make("small", null, String(rows.length))))),
    rows.sort(sorted.compare).slice(0, count).map((f) => rowOf(f, all, looks)));
  if (rows.length > count) {
    const more = make("button", { type: "button", class: "more", click: () => { open_.set(key, count + PAGE_ROWS); drawRanking(); } }, `Show ${Math.min(PAGE_ROWS, rows.length - count)} more of ${rows.length}`);
    body.append(make("tr", { class: "group" }, make("th", { colspan: all.length }, make("span", null, more))));
  }
  return body;
}

function drawRanking() {
  const boards = boardsShown();
  const first = boards.find((board) => shownOf(board).length);
  const looks = first ? lookOf(drawn(shownOf(first))) : new Map();
  find("rankings").replaceChildren(...boards.map((board) => {
    const shown = shownOf(board);
    if (!shown.length) return "";
    const all = columns(board);
    const sorted = sorter(all);
    const caption = state.t ? `Ranking at no more than ${state.t} time steps` : "Ranking at the last read-out";
    const bodies = GROUPS.map((group) => [group, shown.filter((f) => f.row.group === group)]).filter(([, rows]) => rows.length)
      .map(([group, rows]) => groupBody(board, group, rows, all, looks, sorted));
    return make("section", { "aria-label": board.title },
      make("h2", null, board.title), make("p", { class: "heading" }, board.heading),
      make("div", { class: "scroll ranking", tabindex: "0", role: "region", "aria-label": `Ranking, ${board.title}` },
        make("table", null, make("caption", null, caption), make("thead", null, make("tr", null, all.map((column) => headCell(column, sorted)))), bodies)));
  }).filter(Boolean));
  const count = boards.reduce((sum, board) => sum + shownOf(board).length, 0);
  find("count").textContent = count === 1 ? "1 row" : `${count} rows`;
  find("nothing").hidden = count > 0;
}
