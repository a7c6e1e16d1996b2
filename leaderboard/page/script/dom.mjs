// Elements and their text. Strings only ever become text nodes or attributes, never markup.
export const find = (id) => document.getElementById(id);

export function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name, value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  const shown = children.flat().filter((child) => child !== null && child !== undefined && child !== "");
  element.append(...shown);
  return element;
}

export function choices(select, options, chosen) {
  const made = options.map(([value, text]) => make("option", { value, selected: value === chosen }, text));
  select.replaceChildren(...made);
  select.value = chosen;
}

// Columns: title, what a line shows there, and whether that is a number. The first names the line.
export function table(caption, columns, lines) {
  const cell = (line, { number, of }, index) =>
    index === 0
      ? make("th", { scope: "row" }, of(line))
      : make("td", { class: number ? "number" : null }, of(line));
  const heads = columns.map(({ title, number }) =>
    make("th", { scope: "col", class: number ? "number" : null }, title),
  );
  const body = lines.map((line) =>
    make(
      "tr",
      null,
      columns.map((column, index) => cell(line, column, index)),
    ),
  );
  const made = make(
    "table",
    null,
    make("caption", null, caption),
    make("thead", null, make("tr", null, heads)),
    make("tbody", null, body),
  );
  return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, made);
}

export const column = (title, of) => ({ title, of });
export const numeric = (title, of) => ({ title, of, number: true });
