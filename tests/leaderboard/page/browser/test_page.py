"""The leaderboard page as people use it: in a browser, by mouse, keyboard and address."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from leaderboard.page import html
from leaderboard.page.html import write_page
from leaderboard.ranking.boards import rank
from leaderboard.records.record import Record

Make = Callable[..., Record]


def traces(tab: Any, plot: str) -> list[dict[str, Any]]:
    return json.loads(
        tab.evaluate(
            "id => JSON.stringify(document.getElementById(id).data.map(({name, x, y}) => ({name, x, y})))",
            plot,
        )
    )


def test_it_opens_on_the_ranking_of_one_task_and_data_set(visit: Any, hostile: str) -> None:
    tab = visit.open()
    assert visit.labels == ["good", "early", hostile, "burst", "ptq"]
    assert tab.locator("#task").input_value() == "classification"
    assert tab.locator("#network").input_value() == "a"
    assert tab.locator("#count").inner_text() == "5 rows"
    row = tab.locator("tbody tr[data-id]").first
    assert row.locator("th[scope=row]").count() == 1
    assert "89.90" in row.inner_text()
    assert "−0.10" in row.inner_text()
    assert tab.evaluate("location.search") == ""


def test_filters_narrow_the_table_and_stand_in_the_address(visit: Any) -> None:
    tab = visit.open()
    assert not tab.locator("#filters").is_visible()
    tab.click("#more")
    tab.uncheck("[name=group][value=baseline]")
    tab.fill("#recipe", "RL")
    tab.locator("#count", has_text="1 row").wait_for()
    assert visit.labels == ["early"]
    tab.fill("#recipe", "")
    tab.locator("#count", has_text="4 rows").wait_for()
    tab.select_option("#spikes", "burst")
    assert visit.labels == ["burst"]
    tab.select_option("#training", "trained")
    assert visit.labels == []
    assert tab.locator("#nothing").is_visible()
    assert "training=trained" in tab.evaluate("location.search")
    tab.select_option("#training", "free")
    tab.select_option("#energy", "memory")
    query = tab.evaluate("location.search")
    assert visit.open(query).locator("#count").inner_text() == "1 row"
    assert visit.labels == ["burst"]
    assert tab.locator("#filters").is_visible()  # whoever follows a link sees what narrows it
    assert tab.locator("#energy").input_value() == "memory"
    assert not tab.is_checked("[name=group][value=baseline]")
    tab.click("#reset")
    assert tab.evaluate("location.search") == ""
    assert len(visit.labels) == 5


def test_task_data_set_and_network_depend_on_each_other(visit: Any, hostile: str) -> None:
    tab = visit.open("?network=*")
    assert visit.labels == ["good", "early", hostile, "burst", "ptq", "other"]
    tab.select_option("#dataset", hostile)
    assert visit.labels == ["far"]
    tab.select_option("#task", "segmentation")
    assert visit.labels == ["seg"]
    assert visit.open("?task=nothing&dataset=no&network=never") is not None
    assert len(visit.labels) == 5  # falls back to what there is


def test_boards_are_links(visit: Any, hostile: str) -> None:
    tab = visit.open("?by=accuracy")
    links = tab.locator("#boards a")
    assert links.count() == 4
    assert tab.locator("#boards [aria-current]").count() == 1
    links.filter(has_text=hostile).click()
    assert visit.labels == ["far"]
    assert tab.locator("#dataset").input_value() == hostile
    assert tab.locator("#by").input_value() == "accuracy"
    assert tab.locator("#boards a[aria-current]").evaluate("link => link === document.activeElement")
    address = tab.url
    assert tab.locator("#boards a[aria-current]").evaluate("link => link.href") == address


def test_a_limit_of_time_steps_ranks_anew(visit: Any, hostile: str) -> None:
    tab = visit.open()
    tab.select_option("#t", "1")
    assert visit.labels == ["early", "good", hostile, "burst", "ptq"]
    assert [c.split("=")[0] for c in tab.locator("tr[data-id] td:first-child").all_inner_texts()] == [
        "1", "2", "2", "1", "",
    ]  # fmt: skip
    assert "T ≤ 1" in tab.locator("#t option:checked").inner_text()
    assert "70.00" in tab.locator("tr[data-id]").first.inner_text()


def test_columns_sort_both_ways_within_their_group(visit: Any, hostile: str) -> None:
    tab = visit.open()
    head = tab.locator("th[data-column=energy]")
    assert tab.locator("th[aria-sort]").get_attribute("data-column") == "rank"
    tab.click("th[data-column=recipe] button")
    assert visit.labels == [hostile, "early", "good", "burst", "ptq"]
    assert tab.locator("th[data-column=recipe]").get_attribute("aria-sort") == "ascending"
    assert tab.evaluate("document.activeElement.closest('th')?.dataset.column") == "recipe"
    tab.keyboard.press("Enter")
    assert visit.labels == ["good", "early", hostile, "burst", "ptq"]
    assert tab.locator("th[data-column=recipe]").get_attribute("aria-sort") == "descending"
    tab.click("th[data-column=energy] button")
    assert head.get_attribute("aria-sort") == "ascending"
    assert visit.labels[0] == "good"  # those that never reach parity come last, whichever way
    tab.click("th[data-column=energy] button")
    assert visit.labels[0] == "good"
    visit.open(tab.evaluate("location.search"))
    assert head.get_attribute("aria-sort") == "descending"


def test_plots_are_there_and_follow_the_choice(full: Any) -> None:
    tab = full.open(plots=True)
    lines = {trace.get("name"): trace for trace in traces(tab, "plot-time")}
    assert lines["good"]["x"] == [1, 2, 8]
    assert lines["good"]["y"] == pytest.approx([50, 80, 89.9])
    assert lines["ANN"]["y"] == [90, 90]
    assert any(
        name and name.startswith("Pareto front")
        for name in (t.get("name") for t in traces(tab, "plot-energy"))
    )
    assert [trace["x"] for trace in traces(tab, "plot-layers")] == [["fc1", "fc2"]] * 5
    for plot in ("plot-time", "plot-energy", "plot-layers"):
        drawn = tab.locator(f"#{plot} .scatterlayer path").count()
        box = tab.locator(f"#{plot} svg.main-svg").first.bounding_box()
        assert drawn > 3
        assert box["width"] > 300
        assert box["height"] > 200
    tab.click("tr[data-id] [aria-label='Draw good']")
    tab.locator("#legend li", has_text="good").wait_for(state="detached")
    assert tab.locator("[aria-label='Draw good']").get_attribute("aria-pressed") == "false"
    before = {t.get("name"): t["x"] for t in traces(tab, "plot-energy")}["early"]
    tab.click("#more")
    tab.select_option("#energy", "memory")
    tab.locator("#plots figcaption", has_text="against energy, memory model").wait_for()
    after = {t.get("name"): t["x"] for t in traces(tab, "plot-energy")}["early"]
    assert after == pytest.approx([3 * x for x in before], rel=1e-3)


def test_a_row_opens_by_keyboard_and_gives_the_focus_back(
    full: Any, records: list[Record], hostile: str
) -> None:
    tab = full.open(plots=True)
    tab.locator(".open", has_text="good").focus()
    tab.keyboard.press("Enter")
    tab.wait_for_selector("#cell[data-ready]")
    assert tab.locator("#cell-title").inner_text() == "good"
    body = tab.locator("#cell-body").inner_text()
    for part in (
        "spikemark run",
        hostile,
        "0123456789abcdef"[:8],
        "Configuration",
        "fc",
        "not told apart from",
    ):
        assert part in body
    assert "on 16 training images" in body
    assert [trace["y"] for trace in traces(tab, "cell-errors")] == [[50, 50]] * 2
    tab.locator("summary", has_text="at t = 8").click()
    assert "Unevenness" in tab.locator("#cell-body").inner_text()
    assert tab.locator("#cell-body img").get_attribute("alt") == hostile
    assert tab.locator("#cell-time .scatterlayer path").count() > 0
    assert f"cell={records[0].cell_id}" in tab.evaluate("location.search")
    tab.keyboard.press("Escape")
    assert not tab.locator("#cell").is_visible()
    assert "cell=" not in tab.evaluate("location.search")
    assert tab.evaluate("document.activeElement.textContent") == "good"


def test_a_cell_says_why_it_has_no_diagnosis(visit: Any, hostile: str) -> None:
    tab = visit.open()
    for label, said in (("early", f"Not diagnosed: {hostile}."), ("burst", "spikemark diagnose")):
        tab.click(f"tr[data-id] .open >> text={label}")
        tab.locator("#cell-body section", has_text="Diagnosis").filter(has_text=said).wait_for()
        tab.keyboard.press("Escape")
        assert "cell=" not in tab.evaluate("location.search")


def test_an_address_opens_a_cell(full: Any, records: list[Record]) -> None:
    tab = full.open(f"?cell={records[-1].cell_id}", plots=True)
    tab.wait_for_selector("#cell[data-ready]")
    assert tab.locator("#cell-title").inner_text() == "seg"
    tab.click("#close")
    assert "cell=" not in tab.evaluate("location.search")
    tab.locator("tr[data-id] td").nth(3).click()  # anywhere in a row
    tab.wait_for_selector("#cell[data-ready]")
    assert tab.locator("#cell-title").inner_text() == "good"
    tab.keyboard.press("Escape")


def test_headings_are_explained_to_mouse_and_keyboard(visit: Any) -> None:
    tab = visit.open()
    hint = tab.locator("#hint")
    assert not hint.is_visible()
    tab.locator("th[data-column=one] button").focus()
    assert "fewest measured time steps" in hint.inner_text()
    tab.keyboard.press("Escape")
    assert not hint.is_visible()
    tab.locator("th[data-column=gap] button").hover()
    assert "minus that of the ANN" in hint.inner_text()
    for head in tab.locator("thead .sort").all():
        assert len(head.get_attribute("aria-description") or "") > 30


def test_the_order_of_ranks_is_a_choice_in_the_address(visit: Any, hostile: str) -> None:
    tab = visit.open()
    assert tab.locator(".winners li").first.inner_text() == (
        "Binary spikes: good takes 8 time steps to parity, the only one at parity."
    )
    tab.select_option("#by", "area")
    assert visit.labels[:3] == ["good", "early", hostile]
    assert "by=area" in tab.evaluate("location.search")
    said = tab.locator(".winners li").first.inner_text()
    assert (
        "good has 74.98 % in the mean over T = 1, 2, 4, ...; the test images do not tell it from early"
        in said
    )
    assert tab.locator("th[data-column=area]").count() == 1
    visit.open("?by=accuracy")
    assert visit.labels[0] == "good"
    assert tab.locator("tr[data-id] td.best[class*=number]").count() > 3


def test_marks_say_what_a_rank_is_worth(browser: Any, tab_of: Any, make: Make, tmp_path: Path) -> None:
    records = [
        make({4: 0.9}, label="plain", provenance_verdict="spiking"),
        make({4: 0.89}, label="part", provenance_verdict="hybrid", provenance_precision="int8"),
        make({4: 0.7}, label="sums", provenance_verdict="with analog reductions"),
    ]
    origins = {records[0].cell_id: "claimed", records[2].cell_id: "reference"}
    visit = tab_of(browser, write_page(rank(records, origins), tmp_path / "marks.html"))
    tab = visit.open()

    def marks(label: str) -> list[str]:
        row = tab.locator("tr[data-id]").filter(has=tab.locator(f".open >> text={label}"))
        return row.locator(".mark").all_inner_texts()

    assert (marks("plain"), marks("part")) == (["claimed"], ["hybrid", "int8", "yours"])
    assert marks("sums") == ["analog reductions", "reference"]
    tab.click("#more")
    tab.select_option("#verdict", "hybrid")
    assert visit.labels == ["part"]
    tab.select_option("#verdict", "")
    tab.select_option("#origin", "claimed")
    assert visit.labels == ["plain"]
    visit.context.close()
    assert visit.complaints == []


def test_hostile_names_are_text(visit: Any, hostile: str) -> None:
    tab = visit.open()
    assert hostile in visit.labels
    assert tab.locator("img").count() == 0
    assert tab.evaluate("document.scripts.length") == tab.evaluate(
        "new DOMParser().parseFromString(document.documentElement.outerHTML, 'text/html').scripts.length"
    )
    assert tab.locator("#legend li", has_text="alert(1)").count() == 1


GROUND = "getComputedStyle(document.documentElement).backgroundColor"


def test_dark_and_light_follow_the_system_and_the_button(visit: Any) -> None:
    tab = visit.open()
    tab.emulate_media(color_scheme="dark")
    tab.wait_for_selector("html[data-theme=dark]")
    assert tab.evaluate(GROUND) == "rgb(19, 22, 26)"
    tab.click("#theme")  # light, whatever the system says
    assert tab.evaluate(GROUND) == "rgb(255, 255, 255)"
    tab.click("#theme")
    tab.emulate_media(color_scheme="light")
    assert tab.evaluate(GROUND) == "rgb(19, 22, 26)"
    assert "theme=dark" in tab.evaluate("location.search")
    tab.click("#theme")
    assert tab.evaluate(GROUND) == "rgb(255, 255, 255)"


def test_it_fits_a_phone_and_paper(full: Any) -> None:
    tab = full.open(plots=True)
    tab.set_viewport_size({"width": 390, "height": 844})
    assert tab.evaluate("document.documentElement.scrollWidth") == 390
    table = tab.locator(".ranking").first  # nothing of it lies beyond the screen
    assert table.evaluate("(e) => e.scrollWidth - e.clientWidth") <= 1
    heads = table.locator("thead th:visible").all_inner_texts()
    assert [head.split("\n")[0].strip("↑ ") for head in heads] == [
        "#", "Recipe", "Top-1 accuracy", "T to parity", "Energy at parity",
    ]  # fmt: skip
    tab.emulate_media(media="print", color_scheme="dark")
    assert not tab.locator("#filter").is_visible()
    assert tab.locator("#rankings table").is_visible()
    tab.emulate_media(media="screen", color_scheme="light")
    tab.set_viewport_size({"width": 1280, "height": 900})


def test_long_tables_come_a_page_at_a_time(
    browser: Any, tab_of: Callable[..., Any], make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [make({4: 0.5 + n / 5000}, label=f"recipe {n}", count=None) for n in range(250)]
    monkeypatch.setattr(html, "plotly_javascript", lambda: "")
    visit = tab_of(browser, write_page(rank(many), tmp_path / "many.html"))
    tab = visit.open()
    assert len(visit.labels) == 100
    tab.click("tr.group .more")
    assert len(visit.labels) == 200
    tab.click("#more")
    tab.fill("#recipe", "249")
    tab.locator("#count", has_text="1 row").wait_for()
    assert visit.labels == ["recipe 249"]
    visit.context.close()
    assert visit.complaints == []
