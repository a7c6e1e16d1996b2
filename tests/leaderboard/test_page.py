import json
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from leaderboard import page
from leaderboard.files import StoreError
from leaderboard.page import page_html, plotly_javascript, write_page
from leaderboard.published import PublishedCurve
from leaderboard.ranking import rank
from leaderboard.records import Record
from leaderboard.store import Invalid

Make = Callable[..., Record]
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&amp;"


class Outline(HTMLParser):
    """What a browser would see: open tags, their attributes, and the text by enclosing tag."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: dict[str, list[str]] = {}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.setdefault(self.tags[-1][0] if self.tags else "", []).append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture
def small_plotly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five megabytes of JavaScript are only read where they matter."""
    monkeypatch.setattr(page, "plotly_javascript", lambda: "/* plotly */")


@pytest.mark.usefixtures("small_plotly")
def test_every_board_has_its_tables_and_plots(make: Make) -> None:
    outline = Outline(page_html(rank([make(network="a"), make(network="b")])))
    assert outline.all("html") == [{"lang": "en"}]
    assert [attrs["id"] for attrs in outline.all("section")] == ["board-1", "board-2"]
    assert len(outline.all("table")) == len(outline.all("caption")) == 4
    assert all("scope" in attrs for attrs in outline.all("th"))
    plots = [attrs["id"] for attrs in outline.all("div") if attrs.get("class") == "plot"]
    figures = json.loads("".join(outline.text["script"]).partition("/* plotly */")[0])
    assert plots == ["time-1", "energy-1", "time-2", "energy-2"]
    assert sorted(plots) == sorted(figures)


@pytest.mark.usefixtures("small_plotly")
def test_figures_of_the_table_are_shown(make: Make) -> None:
    text = page_html(rank([make({1: 0.5, 32: 0.893}, ann=0.9)]))
    for cell in (
        "ANN top1 90.00 %",
        "89.30",
        "87.2–91.1",
        "−0.70",
        "0.696×",
        "0.125",
        "01234567",
        "cccccccccccc",
    ):
        assert cell in text


@pytest.mark.usefixtures("small_plotly")
def test_record_text_is_text_whatever_it_contains(make: Make) -> None:
    innocent = Outline(page_html(rank([make()]), invalid=[Invalid(Path("x"), "y")]))
    record = make(
        label=HOSTILE,
        task=HOSTILE,
        dataset=HOSTILE,
        network=HOSTILE,
        method_paper=HOSTILE,
        provenance_device=HOSTILE,
        provenance_versions={HOSTILE: HOSTILE},
        provenance_git_commit=HOSTILE,
        checkpoint=HOSTILE,
    )
    hostile = Outline(page_html(rank([record]), invalid=[Invalid(Path(HOSTILE), HOSTILE)], title=HOSTILE))
    assert [tag for tag, _ in hostile.tags] == [tag for tag, _ in innocent.tags]
    assert HOSTILE in "".join(hostile.text["title"])
    assert [set(a) for _, a in hostile.tags] == [set(a) for _, a in innocent.tags]  # no attribute was added


@pytest.mark.usefixtures("small_plotly")
def test_no_text_can_end_the_data_block(make: Make) -> None:
    record = make(metric=HOSTILE, count=None)
    ann = record.ann.model_copy(update={"metrics": {HOSTILE: 0.9}})
    curve = [point.model_copy(update={"metrics": {HOSTILE: 0.5}}) for point in record.curve]
    outline = Outline(page_html(rank([record.model_copy(update={"ann": ann, "curve": curve})])))
    assert len(outline.all("script")) == 3
    assert not outline.all("img")
    figures = json.loads("".join(outline.text["script"]).partition("/* plotly */")[0])
    # plotly reads a little HTML in titles, so it gets the text escaped once more.
    assert figures["time-1"]["layout"]["yaxis"]["title"]["text"].startswith("&lt;/script&gt;&lt;script&gt;")


@pytest.mark.usefixtures("small_plotly")
def test_the_page_loads_nothing(make: Make) -> None:
    outline = Outline(page_html(rank([make()])))
    addresses = [
        a[key] or "" for _, a in outline.tags for key in ("src", "href", "action", "data") if key in a
    ]
    assert [address for address in addresses if not address.startswith(("#", "data:,"))] == []
    assert "default-src 'none'" in (outline.all("meta")[3]["content"] or "")
    assert "url(" not in "".join(outline.text["style"])


@pytest.mark.usefixtures("small_plotly")
def test_invalid_files_are_named_without_their_folder() -> None:
    text = page_html([], invalid=[Invalid(Path("/home/someone/records/0123.json"), "is not JSON: <eof>")])
    assert "<code>0123.json</code>: is not JSON: &lt;eof&gt;" in text
    assert "/home/someone" not in text
    assert "No records yet" in text


@pytest.mark.usefixtures("small_plotly")
def test_energy_models_are_a_choice(make: Make) -> None:
    record = make({1: 0.9})
    ann = record.ann.model_copy(update={"energy_pj": {"operations": 4600.0, "operations+memory": 1000.0}})
    curve = [
        p.model_copy(update={"energy_pj": {"operations": 46.0, "operations+memory": 1700.0}})
        for p in record.curve
    ]
    text = page_html(rank([record.model_copy(update={"ann": ann, "curve": curve})]))
    outline = Outline(text)
    cells = [attrs for tag, attrs in outline.tags if tag in ("td", "th") and "data-energy" in attrs]
    shown = [attrs["data-energy"] for attrs in cells if "hidden" not in attrs]
    assert shown == ["operations"] * 4  # two heads and two cells
    assert len(cells) == 8
    assert "operations+memory</th>" in text
    assert "0.0100×" in text
    assert "1.70×" in text
    assert "Lemaire et al. 2022" in text
    assert len(outline.all("select")) == 1
    figures = json.loads("".join(outline.text["script"]).partition("/* plotly */")[0])
    x = {m: [trace["x"] for trace in f["data"]] for m, f in figures["energy-1"]["models"].items()}
    assert x == {"operations": [[4.6e-05]] * 2 + [[0.0046]], "operations+memory": [[0.0017]] * 2 + [[0.001]]}
    plain = page_html(rank([record]))
    assert "Lemaire" not in plain
    assert not Outline(plain).all("select")  # nothing to choose


@pytest.mark.usefixtures("small_plotly")
def test_groups_can_be_left_out(make: Make) -> None:
    records = [
        make(network="a"),
        make(network="a", label="burst", group="multi-level"),
        make(network="b", label="ptq", group="baseline"),
    ]
    outline = Outline(page_html(rank(records)))
    boxes = [attrs for attrs in outline.all("input") if attrs["type"] == "checkbox"]
    assert [box["value"] for box in boxes] == ["binary", "multi-level", "baseline"]
    assert all(box["name"] == "group" and "checked" in box for box in boxes)
    marked = [(tag, attrs["data-groups"]) for tag, attrs in outline.tags if "data-groups" in attrs]
    assert marked == [
        ("li", "binary multi-level"),
        ("li", "baseline"),
        ("section", "binary multi-level"),
        ("tbody", "binary"),
        ("tbody", "multi-level"),
        ("section", "baseline"),
        ("tbody", "baseline"),
    ]
    figures = json.loads("".join(outline.text["script"]).partition("/* plotly */")[0])
    lines = figures["time-1"]["data"]
    assert [line["meta"].get("group") for line in lines] == ["binary", "multi-level", None]  # last: the ANN


@pytest.mark.usefixtures("small_plotly")
def test_published_figures_stand_apart(make: Make) -> None:
    board = rank([make({4: 0.85}, ann=0.9, label="qcfs", dataset="cifar10", network="vgg16")])
    curve = PublishedCurve(
        paper="A & B 2022",
        recipe="qcfs",
        group="retrained",
        task="classification",
        dataset="CIFAR-10",
        network="vgg16",
        metric="top1",
        ann=95.0,
        at={4: 94.01},
        source="<README>",
        evidence="read",
    )
    with_it, without = (page_html(board, published=p) for p in ([curve], []))
    for cell in ("94.01", "95.00", "−0.99", "85.00", "−5.00", "A &amp; B 2022", "&lt;README&gt;"):
        assert cell in with_it
    assert "94.01" not in without
    assert "Published" not in without
    figures = [
        json.loads("".join(Outline(t).text["script"]).partition("/* plotly */")[0])
        for t in (with_it, without)
    ]
    assert figures[0] == figures[1]  # in no plot


def test_the_whole_page_is_written_once_and_the_same_each_time(make: Make, tmp_path: Path) -> None:
    boards = rank([make(), make(seed=1), make(label="other")])
    first, second = (
        write_page(boards, tmp_path / "a" / "page.html"),
        write_page(boards, str(tmp_path / "b.html")),
    )
    text = first.read_text(encoding="utf-8")
    assert second.read_text(encoding="utf-8") == text
    assert text.count(plotly_javascript()) == 1
    assert text.count("</script") == 3  # data, plotly, ours: plotly itself ends none of them


def test_a_page_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StoreError, match=r"cannot write .*page\.html"):
        write_page([], tmp_path / "file" / "page.html")


def test_the_package_imports_neither_plotly_nor_torch() -> None:
    code = (
        "import sys, leaderboard; leaderboard.page.plotly_javascript();"
        "print(sorted({'plotly', 'torch', 'pytorch_lightning', 'sklearn'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
