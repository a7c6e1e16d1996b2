// The boards there are, as links by task, so that nobody has to open a list to see them.
import { unique } from "./data.mjs";
import { find, make } from "./dom.mjs";
import { ALL, boardNames, queryText, state } from "./state.mjs";

const MOST_LINKS = 24; // of more boards the lists of the controls give a better view

function linkOf({ task, dataset, network, rows }, actions) {
  const values = { task, dataset, network };
  const current =
    state.task === task && state.dataset === dataset && (state.network === ALL || state.network === network);
  const href = `?${queryText({ ...state, ...values, show: null, cell: "" })}`;
  const click = (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return; // a tab or window of its own
    event.preventDefault();
    actions.change(values, "#boards [aria-current]");
  };
  const attributes = { href, "aria-current": current ? "page" : null, click };
  return make("a", attributes, `${dataset} · ${network} `, make("small", null, String(rows)));
}

export function drawBoards(actions) {
  const names = boardNames();
  find("boards").hidden = names.length < 2 || names.length > MOST_LINKS;
  if (find("boards").hidden) return;
  const lines = unique(names.map(({ task }) => task)).map((task) => {
    const links = names.filter((each) => each.task === task).map((each) => linkOf(each, actions));
    return make("p", null, make("span", { class: "muted" }, task), ...links);
  });
  find("boards").replaceChildren(...lines);
}
