// Explanations of headings: shown while the mouse or the focus is on them, read out by screen readers.
import { find } from "./dom.mjs";

const GAP = 6; // pixels below the heading

function show(target, text) {
  const hint = find("hint");
  hint.textContent = text;
  hint.hidden = false;
  const [box, own] = [target.getBoundingClientRect(), hint.getBoundingClientRect()];
  const left = Math.min(Math.max(GAP, box.left), document.documentElement.clientWidth - own.width - GAP);
  const below = box.bottom + GAP + own.height < document.documentElement.clientHeight;
  hint.style.left = `${Math.max(GAP, left)}px`;
  hint.style.top = `${below ? box.bottom + GAP : Math.max(GAP, box.top - own.height - GAP)}px`;
}

export function hideHint() {
  find("hint").hidden = true;
}

export function explained(target, text) {
  if (!text) return target;
  target.setAttribute("aria-description", text);
  const open = () => show(target, text);
  target.addEventListener("mouseenter", open);
  target.addEventListener("focus", open);
  target.addEventListener("mouseleave", hideHint);
  target.addEventListener("blur", hideHint);
  target.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hideHint();
  });
  return target;
}
