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

const SOURCES = /\barXiv[: ](\d{4}\.\d{4,5})\b|\bdoi:(10\.\d{4,9}\/[^\s,;)]+)|\b(https:\/\/[^\s,;)]+)/gi;

// Text in which arXiv ids, DOIs and addresses are links.
export function linked(text) {
  const parts = [];
  let end = 0;
  for (const found of text.matchAll(SOURCES)) {
    const [whole, arxiv, doi, address] = found;
    const href = address ?? (arxiv ? `https://arxiv.org/abs/${arxiv}` : `https://doi.org/${doi}`);
    parts.push(text.slice(end, found.index), make("a", { href, rel: "noreferrer" }, whole));
    end = found.index + whole.length;
  }
  return make("span", null, ...parts, text.slice(end));
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
