import io
from collections.abc import Callable, Sequence

import pytest
from rich.console import Console

from leaderboard.published import PublishedCurve
from leaderboard.ranking.boards import rank
from leaderboard.records.record import Record
from leaderboard.reports.tables import render

Make = Callable[..., Record]


def printed(records: list[Record], width: int, published: Sequence[PublishedCurve] = ()) -> list[str]:
    console = Console(file=io.StringIO(), width=width, force_terminal=False, no_color=True)
    render(rank(records), console, published)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


@pytest.fixture
def records(make: Make) -> list[Record]:
    return [
        make({1: 0.5, 32: 0.893}, label="percentile-99.9", ann=0.9),
        make({1: 0.5, 32: 0.7}, label="a recipe of a name that will not fit", seed=0),
        make({1: 0.5, 32: 0.8}, label="a recipe of a name that will not fit", seed=1),
        make({1: 0.5, 32: 0.9}, label="burst", group="multi-level", t_before=100),
        make({1: 0.85}, label="ptq", group="baseline"),
    ]


@pytest.mark.parametrize("width", [80, 100, 104, 120])
def test_everything_fits(records: list[Record], width: int) -> None:
    lines = printed(records, width)
    assert max(map(len, lines)) <= width
    assert "ANN Top-1 accuracy 90.00 % · 1,000 test images" in lines
    text = "\n".join(lines)
    assert "…" not in text
    for cell in (
        "percentile-99.9",
        "burst ≤5",
        "132",
        "89.30",
        "87.2–91.1",
        "−0.70",
        "32 / —",
        "0.696",
        "0.125",
    ):
        assert cell in text
    assert "— not reached at any measured T." in lines


def test_wide_rows_are_one_line(records: list[Record]) -> None:
    (row,) = [line for line in printed(records, 120) if "percentile" in line and "spikes:" not in line]
    assert row.split() == (
        "1 percentile-99.9 binary 32 89.30 (87.2–91.1) −0.70 32 / — 0.696 0.125".split()  # noqa: SIM905
    )


def test_groups_ranks_and_seeds(records: list[Record]) -> None:
    lines = printed(records, 120)
    starts = [
        line.split()[:2] for line in lines if line[:5].strip() or line.strip() in ("binary", "reference")
    ]
    assert ["1", "percentile-99.9"] in starts
    assert ["2", "a"] in starts
    assert ["1", "burst"] in starts
    assert [line.strip() for line in lines].index("multi-level") < [line.strip() for line in lines].index(
        "reference"
    )
    assert any("±7.07 (n=2)" in line for line in lines)
    (ptq,) = [line.split() for line in lines if "ptq" in line]
    assert ptq == ["ptq", "no", "spikes", "1", "85.00", "(82.7–87.1)", "−5.00", "n/a", "—", "0.125"]


def test_only_signs_that_occur_are_explained(make: Make) -> None:
    text = "\n".join(printed([make({1: 0.9})], 80))
    assert "not reached" not in text
    assert "own ANN" not in text
    assert "does not tell" not in text


def test_a_retrained_network_is_marked(make: Make) -> None:
    text = "\n".join(
        printed([make(label="a"), make(label="qcfs", group="retrained", checkpoint="b" * 64)], 120)
    )
    assert "qcfs †" in text
    assert "† started from its own ANN" in text


def test_steps_show_what_was_run_and_what_was_averaged(make: Make) -> None:
    records = [
        make({8: 0.9}, label="early", t_before=-2.6, method_parts={"exit": {"name": "entropy"}}),
        make({8: 0.9}, label="late", t_before=4.0),
        make({8: 0.9}, label="plain"),
    ]
    text = "\n".join(printed(records, 120))
    assert "5.4 (≤8)" in text
    assert "12 (8)" in text
    (row,) = [line.split() for line in printed(records, 120) if "plain" in line and "spikes:" not in line]
    assert row[3] == "8"
    assert "(n) output steps averaged" in text
    assert "output steps averaged" not in "\n".join(printed(records[2:], 120))


def test_published_figures_are_printed_below_the_ranking(make: Make) -> None:
    curve = PublishedCurve(
        paper="B 2022",
        recipe="srp",
        variant="[tau=4]",
        group="retrained",
        task="classification",
        dataset="CIFAR-100",
        network="resnet20",
        metric="top1",
        ann=70.0,
        steps_before=4,
        at={4: 60.0},
        source="Table 1",
        evidence="quoted",
    )
    record = make({4: 0.8}, label="srp", ann=0.9, t_before=4, dataset="cifar100", network="resnet20")
    other = make(network="resnet56", dataset="cifar100")
    for width in (80, 120):
        lines = printed([record, other], width, [curve])
        (row,) = [line.split() for line in lines if "[tau=4]" in line]
        assert row == ["srp", "[tau=4]", "8", "(4)", "60.00", "70.00", "−10.00", "80.00", "−10.00", "quoted"]
        assert max(map(len, lines)) <= width
        assert sum("not ranked" in line for line in lines) == 1
    assert "quoted" not in "\n".join(printed([other], 80, [curve]))


def test_hostile_names_are_text(make: Make) -> None:
    text = "\n".join(
        printed([make(label="[red]x[/red]\x1b[2J", dataset="[bold]d", network="\x1b]0;n\x07")], 120)
    )
    assert "[red]x[/red]�[2J" in text
    assert "[bold]d · �]0;n�" in text
    assert "\x1b" not in text


def test_no_records() -> None:
    assert printed([], 80) == ["No records yet."]
