// The ranking: one table a board, sorted within fairness groups, long ones a page at a time.
import { bestOf, columns, sorter } from "./columns.mjs";
import { data, groups } from "./data.mjs";
import { find, make } from "./dom.mjs";
import { explained } from "./hints.mjs";
import { lookOf } from "./looks.mjs";
import { marksOf } from "./marks.mjs";
import { known } from "./numbers.mjs";
import { BY, state } from "./state.mjs";
import { boardsShown, drawn, shownOf, winnersOf } from "./view.mjs";

const PAGE_ROWS = 100;
const rowsOpen = new Map(); // board and group -> rows shown so far

function headCell(column, sorted, actions) {
  const current = sorted.column.id === column.id;
  const next = current && !state.sort.startsWith("-") ? `-${column.id}` : column.id;
  const click = () => actions.change({ sort: next }, `[data-column="${column.id}"] button`);
  const unit = column.unit ? make("small", null, column.unit) : null;
  const attributes = {
    scope: "col",
    class: classOf(column),
    "aria-sort": current ? sorted.direction : null,
    "data-column": column.id,
  };
  const button = make("button", { type: "button", class: "sort", click }, column.title, unit);
  return make("th", attributes, explained(button, column.why));
}

const classOf = (column, more) =>
  [column.number ? "number" : null, column.phone ? null : "wide", more].filter(Boolean).join(" ") || null;

function swatchOf(f, look, actions) {
  const attributes = {
    type: "button",
    class: "swatch",
    "aria-pressed": String(Boolean(look)),
    "aria-label": `Draw ${f.row.label}`,
    title: look ? "Drawn in the plots; press to leave it out" : "Draw it in the plots",
    style: look ? `color:${look.colour}` : null,
    click: () => actions.toggleDrawn(f.row.id),
  };
  return make("button", attributes, look ? look.sign : "○");
}

function nameCell(f, look, actions) {
  const click = () => actions.openCell(f.row.id);
  const open = make(
    "button",
    { type: "button", class: "open", "aria-haspopup": "dialog", title: f.row.label, click },
    f.row.label,
  );
  const marks = marksOf(f.row).map(({ text, why, kind }) =>
    make("span", { class: `mark ${kind}`, title: why }, text),
  );
  return make(
    "th",
    { scope: "row" },
    make("div", { class: "name" }, swatchOf(f, look, actions), open, marks),
  );
}

function figureCell(f, column, best) {
  const small = column.small?.(f);
  const value = best === null ? null : column.value(f);
  return make(
    "td",
    { class: classOf(column, known(value) && value === best ? "best" : null), title: column.hint?.(f) },
    column.text(f),
    small ? make("small", null, small) : null,
  );
}

function rowOf(f, all, bests, looks, actions) {
  const cells = all.map((column, index) =>
    column.id === "recipe" ? nameCell(f, looks.get(f.row.id), actions) : figureCell(f, column, bests[index]),
  );
  const click = (event) => {
    if (!event.target.closest("button") && !String(getSelection())) actions.openCell(f.row.id);
  };
  return make("tr", { "data-id": f.row.id, click }, cells);
}

function groupBody(board, group, rows, all, looks, sorted, actions) {
  const key = `${board.title}\n${group}`;
  const count = rowsOpen.get(key) ?? PAGE_ROWS;
  const colspan = all.length;
  const bests = all.map((column) => bestOf(column, rows));
  const title = make("span", null, data.groups[group], " ", make("small", null, String(rows.length)));
  const body = make(
    "tbody",
    { "data-group": group },
    make("tr", { class: "group" }, make("th", { scope: "rowgroup", colspan }, title)),
    rows
      .sort(sorted.compare)
      .slice(0, count)
      .map((f) => rowOf(f, all, bests, looks, actions)),
  );
  if (rows.length > count) {
    const click = () => {
      rowsOpen.set(key, count + PAGE_ROWS);
      drawRanking(actions);
    };
    const words = `Show ${Math.min(PAGE_ROWS, rows.length - count)} more of ${rows.length}`;
    const more = make("button", { type: "button", class: "more", click }, words);
    body.append(make("tr", { class: "group" }, make("th", { colspan }, make("span", null, more))));
  }
  return body;
}

function boardSection(board, looks, actions) {
  const shown = shownOf(board);
  const all = columns(board);
  const sorted = sorter(all, state.sort);
  const within = state.t ? `at no more than ${state.t} time steps` : "at the last read-out";
  const measured = board.rows.every(({ origin }) => origin === "reference") ? " · reference records" : "";
  const caption = `Ranking ${within}, by ${BY[state.by]}${measured}`;
  const sentences = Object.entries(winnersOf(board))
    .filter(([group]) => shown.some((f) => f.row.group === group))
    .map(([, sentence]) => make("li", null, sentence));
  const bodies = groups()
    .map((group) => ({ group, rows: shown.filter((f) => f.row.group === group) }))
    .filter(({ rows }) => rows.length)
    .map(({ group, rows }) => groupBody(board, group, rows, all, looks, sorted, actions));
  const heads = all.map((column) => headCell(column, sorted, actions));
  const table = make(
    "table",
    null,
    make("caption", null, caption),
    make("thead", null, make("tr", null, heads)),
    bodies,
  );
  const label = `Ranking, ${board.title}`;
  return make(
    "section",
    { "aria-label": board.title },
    make("h2", null, board.title),
    make("p", { class: "heading" }, board.heading),
    sentences.length
      ? make("ul", { class: "winners", "aria-label": "Who leads each group" }, sentences)
      : null,
    make("div", { class: "scroll ranking", tabindex: "0", role: "region", "aria-label": label }, table),
  );
}

// `actions` are what the buttons of the table do: change, toggleDrawn, openCell.
export function drawRanking(actions) {
  const boards = boardsShown().filter((board) => shownOf(board).length);
  const looks = boards.length ? lookOf(drawn(shownOf(boards[0]))) : new Map();
  find("rankings").replaceChildren(...boards.map((board) => boardSection(board, looks, actions)));
  const count = boards.reduce((sum, board) => sum + shownOf(board).length, 0);
  find("count").textContent = count === 1 ? "1 row" : `${count} rows`;
  find("nothing").hidden = count > 0;
}
