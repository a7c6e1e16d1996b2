import base64
import gzip
import json
import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from leaderboard.files.atomic import StoreError
from leaderboard.page import html
from leaderboard.page.html import page_html, plotly_javascript, write_page
from leaderboard.page.texts import as_seen
from leaderboard.ranking.boards import rank
from leaderboard.records.record import Record
from leaderboard.store.diagnoses import CellDiagnosis, LayerDiagnosis
from leaderboard.store.pictures import Picture
from leaderboard.store.results import Invalid

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
    monkeypatch.setattr(html, "plotly_javascript", lambda: "/* plotly */")


def data_of(outline: Outline) -> dict[str, Any]:
    """The data block, as the page's script reads it."""
    at = [tag for tag, _ in outline.tags].index("script")
    assert outline.tags[at][1]["id"] == "data"
    return json.loads(outline.text["script"][0])


def details_of(outline: Outline) -> list[Any]:
    """The first compressed block."""
    block = [text for text in outline.text["script"] if text.strip()][1]
    return json.loads(gzip.decompress(base64.b64decode(block)))


@pytest.mark.usefixtures("small_plotly")
def test_every_control_has_a_label_and_every_head_a_scope(make: Make) -> None:
    text = page_html(rank([make(network="a"), make(network="b")]))
    outline = Outline(text)
    assert outline.all("html") == [{"lang": "en"}]
    assert [board["network"] for board in data_of(outline)["boards"]] == ["a", "b"]
    labelled = re.findall(r"<label>.*?<(?:select|input)", text)
    assert len(labelled) == len(outline.all("select")) + len(outline.all("input")) > 6
    assert all("aria-label" in a for a in outline.all("div") if a.get("class") == "plot")
    assert outline.all("dialog")[0]["aria-labelledby"] == "cell-title"


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
    )
    hostile = Outline(page_html(rank([record]), invalid=[Invalid(Path(HOSTILE), HOSTILE)], title=HOSTILE))
    assert [tag for tag, _ in hostile.tags] == [tag for tag, _ in innocent.tags]
    assert HOSTILE in "".join(hostile.text["title"])
    assert [set(a) for _, a in hostile.tags] == [set(a) for _, a in innocent.tags]  # no attribute was added
    (board,) = data_of(hostile)["boards"]
    assert board["dataset"] == board["rows"][0]["label"] == HOSTILE
    assert details_of(hostile)[0]["paper"] == HOSTILE


STEERING = "a\u202eb\u2066c\u2028d\u2029e\x85f\x9b31mg\x1bh\u200fi\ufeffj\x00k%{y}</script>"


def unseen(text: str) -> set[str]:
    """Controls, separators, marks of direction and invisible ones; independent of the code."""
    ranges = [(0, 8), (11, 31), (127, 159), (0x200B, 0x200F), (0x2028, 0x202E), (0x2060, 0x206F)]
    ranges += [(0xFEFF, 0xFEFF), (0xD800, 0xDFFF)]
    return {each for each in text if any(low <= ord(each) <= high for low, high in ranges)}


def steered(content: Any) -> Any:
    """Plain data with such characters in every text of its, and in every name that may be any text."""
    if isinstance(content, dict):
        return {key: steered(value) for key, value in content.items()} | {STEERING: STEERING}
    if isinstance(content, list):
        return [steered(each) for each in content]
    return f"{content} {STEERING}" if isinstance(content, str) else content


@pytest.mark.usefixtures("small_plotly")
def test_no_text_of_any_file_steers_the_page(make: Make) -> None:
    """Marks of direction and separators become marks, in tables, in the data, and in what a cell shows."""
    names = ("task", "dataset", "network", "label", "matrix", "method_paper", "provenance_device")
    record = make(
        **dict.fromkeys(names, STEERING),
        config={"deep": steered({"list": ["a", {"b": "c"}]})},
        provenance_versions={STEERING: STEERING},
        provenance_data={"test": STEERING, STEERING: STEERING},
        provenance_conversion=[STEERING],
        provenance_reductions={STEERING: STEERING},
        provenance_wall_time_s={STEERING: 1.0},
    )
    layer = LayerDiagnosis(
        layer=STEERING, t=4, threshold=1.0, rate=0.1, error=0.5, clipping=0.1, quantisation=0.1,
        input=None, unevenness=0.1,
    )  # fmt: skip
    text = page_html(
        rank([record]),
        invalid=[Invalid(Path(STEERING), STEERING)],
        title=STEERING,
        pictures={record.cell_id: [Picture(f"{STEERING} \udc9b", None)]},
        diagnoses={record.cell_id: CellDiagnosis(images=9, layers=[layer], why_not=STEERING)},
    )
    outline = Outline(text)
    assert not unseen(text)
    (board,) = data_of(outline)["boards"]
    marked = "".join("\ufffd" if unseen(each) else each for each in STEERING)
    assert marked == board["dataset"] == board["network"] == board["rows"][0]["label"]
    details = details_of(outline)[0]
    assert not unseen(json.dumps(details, ensure_ascii=False))
    assert details["paper"] == marked
    assert marked in details["runs"][0]["origin"]["versions"]
    assert details["pictures"][0]["caption"] == f"{marked} \ufffd"  # a file whose name is no UTF-8
    assert marked in "".join(outline.text["title"])


def test_texts_of_several_lines_keep_them() -> None:
    ordinary = "two\nlines\tof 5\u00a0%, \u2009学習率 🧠 e\u0301"
    assert as_seen(ordinary) == ordinary
    assert as_seen(f"{ordinary}\u202e\n") == f"{ordinary}\ufffd\n"


@pytest.mark.usefixtures("small_plotly")
def test_the_page_loads_nothing(make: Make) -> None:
    outline = Outline(page_html(rank([make()])))
    addresses = [
        a[key] or ""
        for tag, a in outline.tags
        for key in ("src", "href", "action", "data")
        if key in a and tag != "a"  # which loads nothing before somebody follows it
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


def test_the_whole_page_is_written_once_and_the_same_each_time(make: Make, tmp_path: Path) -> None:
    boards = rank([make(), make(seed=1), make(label="other")])
    first, second = (
        write_page(boards, tmp_path / "a" / "page.html"),
        write_page(boards, str(tmp_path / "b.html")),
    )
    text = first.read_text(encoding="utf-8")
    assert second.read_text(encoding="utf-8") == text
    assert text.count(plotly_javascript()) == 1
    assert text.count("</script") == 5  # data, a block, ours, plotly, its signal: plotly itself ends none


def test_a_page_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StoreError, match=r"cannot write .*page\.html"):
        write_page([], tmp_path / "file" / "page.html")


def test_the_package_imports_neither_plotly_nor_torch() -> None:
    code = (
        "import sys, leaderboard.reports.markdown, leaderboard.page.html, leaderboard.reports.tables;"
        "leaderboard.page.html.plotly_javascript();"
        "print(sorted({'plotly', 'torch', 'pytorch_lightning', 'sklearn'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
