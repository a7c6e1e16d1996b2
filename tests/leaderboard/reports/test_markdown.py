import re
from collections.abc import Callable
from pathlib import Path

import pytest

from leaderboard.files.atomic import StoreError
from leaderboard.ranking.boards import rank
from leaderboard.records.record import Record
from leaderboard.reference.shipped import load_shipped
from leaderboard.reports.markdown import markdown_report, write_report
from leaderboard.statistics.intervals import wilson_interval

Make = Callable[..., Record]


def tables(text: str) -> dict[str, list[dict[str, str]]]:
    """Heading -> rows of the table below it, by column."""
    found = {}
    for part in re.split(r"^###? ", text, flags=re.M)[1:]:
        lines = [line for line in part.splitlines() if line.startswith("|")]
        if lines:
            cells = [[c.strip() for c in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
            assert len({len(line) for line in cells}) == 1
            found[part.splitlines()[0]] = [dict(zip(cells[0], line, strict=True)) for line in cells[2:]]
    return found


def report(records: list[Record], **options: object) -> str:
    return markdown_report(rank(records), command="spikemark results r", **options)  # type: ignore[arg-type]


def test_one_table_for_each_group(make: Make) -> None:
    records = [
        make({1: 0.5, 4: 0.85}, label="a"),
        make({1: 0.6, 4: 0.895}, label="b"),
        make({1: 0.7, 4: 0.9}, label="c", group="multi-level"),
        make({1: 0.8}, label="ptq", group="baseline"),
    ]
    found = tables(report(records))
    assert list(found) == [
        "Binary spikes, top1 in %",
        "Multi-level spikes, top1 in %",
        "Reference, not ranked, top1 in %",
        "Time steps to parity, against the slowest",
        "Energy at parity, as a multiple of the ANN's",
        "Verdicts under every energy model",
        "Break-even",
    ]
    first, second = found["Binary spikes, top1 in %"]
    assert first == {
        "#": "1",
        "recipe": "b",
        "spikes": "binary",
        "T=1": "60.00",
        "T=2": "60.00",
        "T=4": "89.50",
        "last T": "4",
        "ANN": "90.00",
        "gap": "−0.50",
        "T to 0.5": "4",
        "T to 1.0": "4",
        "energy, operations": "0.0870×",  # 400 of 4600 pJ
    }
    assert (second["#"], second["T to 1.0"], second["energy, operations"]) == ("2", "—", "—")
    assert found["Reference, not ranked, top1 in %"][0]["T to 1.0"] == "n/a"


@pytest.mark.parametrize(
    ("model", "beside"), [(None, "operations-int8"), ("memory", "memory"), ("operations", "operations-int8")]
)
def test_break_even_is_that_of_the_models_of_the_ranking(model: str | None, beside: str) -> None:
    records = [record for record in load_shipped().references if record.dataset == "digit_scenes"]
    if not records:
        pytest.skip("no reference records of digit scenes are packed")
    text = markdown_report(rank(records)[:1], command="spikemark results", model=model)
    found = re.findall(r"^Model `(.+)`:$", text.split("### Break-even")[1], re.MULTILINE)
    assert found == ["operations", beside]


@pytest.mark.parametrize("before", [0, 3, 4])
def test_a_column_of_t_spends_no_more_than_t_steps(make: Make, before: int) -> None:
    curve = {1: 0.1, 2: 0.2, 4: 0.4, 8: 0.6, 16: 0.8}
    (row,) = tables(report([make(curve, t_before=before)]))["Binary spikes, top1 in %"]
    for budget in (1, 2, 4, 8, 16):
        within = [metric for t, metric in curve.items() if t + before <= budget]
        assert row[f"T={budget}"] == (f"{100 * within[-1]:.2f}" if within else "")


def test_exits_are_placed_by_the_steps_they_run(make: Make) -> None:
    record = make({8: 0.7, 64: 0.9}, t_before=-2.6, method_parts={"exit": {"name": "entropy"}})
    (row,) = tables(report([record]))["Binary spikes, top1 in %"]
    assert [row[f"T={t}"] for t in (4, 8, 32, 64)] == ["", "70.00", "70.00", "90.00"]
    assert row["last T"] == "61.4 (≤64)"


def test_limits_and_circumstances_are_stated(make: Make) -> None:
    records = [
        make({1: 0.9}, count=400, config={"calibration_images": 256}, provenance_device="a CPU, 2 cores"),
        make({1: 0.9}, count=400, seed=1, provenance_created="2026-02-01T00:00:00Z"),
    ]
    text = report(records)
    interval = wilson_interval(0.9, 400)
    for words in (
        "Made by `spikemark results r`",
        "2 records, measured 2026-01-01 to 2026-02-01",
        "machine: a CPU, 2 cores; cpu",
        "torch 2.6",
        "01234567",
        "400 test images",
        "one test image is worth 0.25 points",
        f"±{50 * (interval.high - interval.low):.1f} points",
        "256 calibration images; seeds: 0, 1",
    ):
        assert words in text
    bare = report([make(count=None)])
    assert "test image is worth" not in bare
    assert "interval of a metric" not in bare


def test_divergence_is_shown_where_it_was_recorded(make: Make) -> None:
    records = [make({1: 0.5, 2: 0.9}, kl=0.0312), make({1: 0.6}, label="without")]
    text = report(records, divergence=True)
    rows = tables(text)
    assert [row["KL"] for row in rows["Binary spikes, top1 in %"]] == ["0.0312", "n/a"]
    first, second = rows["top1 in % (KL divergence from the ANN in nats)"]
    assert (first["T=1"], first["T=2"]) == ("50.00 (0.0312)", "90.00 (0.0312)")
    assert second["T=1"] == "60.00 (n/a)"
    assert "KL divergence from" not in report(records)
    assert "KL" not in tables(report([make()], divergence=True))["Binary spikes, top1 in %"][0]


def test_every_energy_model_has_columns(make: Make) -> None:
    record = make({1: 0.9})
    ann = record.ann.model_copy(update={"energy_pj": {"operations": 4600.0, "memory": 1000.0}})
    points = [
        p.model_copy(update={"energy_pj": {"operations": 46.0, "memory": 1700.0}}) for p in record.curve
    ]
    found = tables(report([record.model_copy(update={"ann": ann, "curve": points})]))
    (row,) = found["Energy at parity, as a multiple of the ANN's"]
    assert (row["operations, 1.0"], row["memory, 0.5"]) == ("0.0100×", "1.70×")
    assert (row["operations, last T"], row["memory, last T"]) == ("0.0100×", "1.70×")
    assert "memory, 1.0" not in tables(report([record]))["Energy at parity, as a multiple of the ANN's"][0]


def test_published_figures_have_a_table_of_their_own(make: Make, qcfs_curve) -> None:
    curve = qcfs_curve("A | B")
    record = make({4: 0.85}, label="qcfs", dataset="cifar10", network="vgg16")
    found = tables(report([record], published=[curve]))
    (row,) = found["Published figures"]
    assert [row["paper, %"], row["its gap"], row["here, %"], row["gap here"]] == [
        "94.00",
        "−1.00",
        "85.00",
        "−5.00",
    ]
    assert row["source"] == "A \\| B; README"
    assert found["Binary spikes, top1 in %"][0]["T=4"] == "85.00"
    assert "Published figures" not in tables(report([make()], published=[curve]))


def test_names_are_text(make: Make) -> None:
    text = report([make(label="a|b *c* <i>", dataset="[x](y)", network="`n`")])
    (row,) = tables(text)["Binary spikes, top1 in %"]
    assert row["recipe"] == "a\\|b \\*c\\* &lt;i&gt;"
    assert "## \\[x\\](y) · \\`n\\` (classification)" in text


def test_the_same_records_give_the_same_page(make: Make, tmp_path: Path) -> None:
    records = [make(seed=s, label=label) for s in (0, 1) for label in ("a", "b")]
    assert report(records) == report(records[::-1])
    path = write_report(tmp_path / "docs" / "results.md", report(records))
    assert path.read_text(encoding="utf-8") == report(records)
    with pytest.raises(StoreError, match="cannot write"):
        write_report(path / "below.md", "")


def test_no_records() -> None:
    assert "No records." in report([])
