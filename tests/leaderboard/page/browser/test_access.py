"""The page for everybody: contrast, names and roles, and the keyboard."""

from __future__ import annotations

from typing import Any

import pytest

from leaderboard.records.record import Record

# Elements whose text has too little contrast with what lies behind (WCAG 2.2, 1.4.3: 4.5, large text 3).
FAINT = """() => {
  const channels = (text) => (text.match(/[\\d.]+/g) ?? []).map(Number);
  const light = (c) => { const s = c / 255; return s <= 0.04045 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4; };
  const luminance = ([r, g, b]) => 0.2126 * light(r) + 0.7152 * light(g) + 0.0722 * light(b);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const found = channels(getComputedStyle(at).backgroundColor);
      if (found.length === 3 || found[3] === 1) return found;
    }
    return [255, 255, 255];
  };
  const faint = [];
  for (const element of document.querySelectorAll('body *:not(script):not(style):not(option)')) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.checkVisibility() || element.closest('svg')) continue;
    const style = getComputedStyle(element);
    const [a, b] = [luminance(channels(style.color)), luminance(behind(element))];
    const ratio = ((Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)) * Number(style.opacity);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    if (ratio < (large ? 3 : 4.5)) faint.push(`${element.textContent}: ${ratio}`);
  }
  return faint;
}"""


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_all_text_stands_out_from_its_ground(full: Any, records: list[Record], theme: str) -> None:
    tab = full.open(f"?theme={theme}&cell={records[0].cell_id}", plots=True)
    tab.wait_for_selector("#cell[data-ready]")
    tab.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert tab.evaluate(FAINT) == []
    tab.keyboard.press("Escape")
    assert tab.evaluate(FAINT) == []
    tab.evaluate("() => { document.querySelector('#count').style.color = '#777777'; }")
    assert len(tab.evaluate(FAINT)) == 1  # so it does find what is faint


def test_screen_readers_find_names_and_roles(full: Any, records: list[Record]) -> None:
    tab = full.open(f"?cell={records[0].cell_id}", plots=True)
    tab.wait_for_selector("#cell[data-ready]")
    assert tab.get_by_role("dialog", name="good").is_visible()
    assert tab.get_by_role("region", name="Commands").is_visible()
    assert tab.get_by_role("heading", name="Diagnosis").is_visible()
    tab.get_by_role("button", name="Close", exact=True).click()
    assert tab.locator("html").get_attribute("lang") == "en"
    assert tab.get_by_role("main").count() == 1
    assert tab.get_by_role("form", name="What to show").is_visible()
    tab.get_by_role("button", name="Filters", exact=True).click()
    for name in (
        *("Task", "Data set", "Network", "Ranked by", "Time steps", "Spikes", "Training"),
        *("Kind of network", "Measured by", "Energy model"),
    ):
        assert tab.get_by_role("combobox", name=name, exact=True).is_visible()
    assert tab.get_by_label("Recipe", exact=True).is_visible()
    assert tab.get_by_role("group", name="Groups").get_by_role("checkbox").count() == 4
    table = tab.get_by_role("table", name="Ranking at the last read-out, by T to parity")
    assert table.get_by_role("columnheader").count() == 13
    assert table.get_by_role("rowheader", name="good").count() == 1
    assert tab.get_by_role(
        "img", name="Metric against time steps; the ranking holds the figures"
    ).is_visible()
    unnamed = "(e) => [...e].filter((each) => !each.textContent.trim() && !each.ariaLabel).length"
    assert tab.locator("button, summary, a").evaluate_all(unnamed) == 0


def test_everything_is_reached_by_the_tab_key(visit: Any) -> None:
    tab = visit.open("?training=free")  # which opens the filters
    tab.locator("body").focus()
    reached = set()
    for _ in range(90):
        tab.keyboard.press("Tab")
        reached.add(tab.evaluate("(document.activeElement.id || document.activeElement.className)"))
    assert {
        "theme",
        "task",
        "by",
        "more",
        "verdict",
        "recipe",
        "training",
        "reset",
        "sort",
        "swatch",
        "open",
        "near",
    } <= reached
