// Elements and their text. Strings only ever become text nodes or attributes, never markup.
const find = (id) => document.getElementById(id);

function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name, value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}

function choices(select, options, chosen) {
  select.replaceChildren(...options.map(([value, text]) => make("option", { value, selected: value === chosen }, text)));
  select.value = chosen;
}

function table(caption, heads, lines, firstIsName = true) {
  const cell = (value, index) => {
    const numeric = typeof value === "object" && value !== null && "number" in value;
    const text = numeric ? value.number : value;
    if (index === 0 && firstIsName) return make("th", { scope: "row" }, text);
    return make("td", { class: numeric ? "number" : null }, text);
  };
  return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    make("table", null,
      make("caption", null, caption),
      make("thead", null, make("tr", null, heads.map((head) => make("th", { scope: "col", class: head.startsWith("#") ? "number" : null }, head.replace(/^#/, ""))))),
      make("tbody", null, lines.map((line) => make("tr", null, line.map(cell))))));
}
