import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from leaderboard.ranking.boards import Board, rank
from leaderboard.records.record import Record
from leaderboard.reports.entries import entries, to_csv, to_json
from leaderboard.reports.frame import frame, load
from leaderboard.reports.latex import escape, to_latex
from leaderboard.reports.plots import best_of_groups, plot, write_plots
from leaderboard.store.results import ResultStore

Make = Callable[..., Record]


@pytest.fixture
def boards(make: Make) -> list[Board]:
    records = [
        make({1: 0.5, 8: 0.899}, label="good_1"),
        make({1: 0.5, 8: 0.898}, label="tie"),
        make({1: 0.5, 8: 0.7}, label="=cmd|'x'"),
        make({1: 0.5, 8: 0.89}, label="burst", group="multi-level", t_before=2),
        make({1: 0.85}, label="ptq", group="baseline"),
    ]
    return rank(records)


def test_json_and_csv_hold_the_same_entries(boards: list[Board]) -> None:
    found = entries(boards)
    assert json.loads(to_json(boards)) == found
    lines = list(csv.DictReader(io.StringIO(to_csv(boards))))
    assert len(lines) == len(found) == 5
    for line, entry in zip(lines, found, strict=True):
        assert list(line) == list(entry)
        assert float(line["value"]) == entry["value"]
        assert line["cells"].split() == entry["cells"]
    assert lines[2]["recipe"] == "'=cmd|'x'"  # no formula in a spreadsheet
    assert to_csv([]) == "\r\n"


def test_entries_say_what_the_ranking_says(boards: list[Board]) -> None:
    first, second, third, burst, ptq = entries(boards)
    assert [(each["rank"], each["tied"]) for each in (first, second, third)] == [
        (1, True),
        (1, True),
        (3, False),
    ]
    assert (first["t_to_1_point"], third["t_to_1_point"], burst["t"], burst["averaged"]) == (8, None, 10, 8)
    assert first["energy_at_parity_operations"] == pytest.approx(800 / 4600)
    assert (ptq["rank"], ptq["images"]) == (None, 1000)
    assert first["low"] < first["value"] < first["high"]


def test_a_data_frame_holds_them_too(boards: list[Board], make: Make, tmp_path: Path) -> None:
    table = frame(boards)
    assert table.columns.tolist() == list(entries(boards)[0])
    assert table.loc[table.group == "binary", "rank"].tolist() == [1, 1, 3]
    assert table["rank"].isna().sum() == 1
    for number, folder in enumerate(("a", "b")):
        ResultStore(tmp_path / folder).write(make({1: 0.5, 8: 0.9}, label=f"r{number}"))
    both = load(tmp_path / "a", tmp_path / "b", limit=2)
    assert both[["recipe", "t", "value"]].values.tolist() == [["r0", 1.0, 0.5], ["r1", 1.0, 0.5]]
    assert load(tmp_path / "nothing").empty


def test_pandas_and_matplotlib_are_imported_only_where_they_are_used() -> None:
    code = (
        "import sys, leaderboard, leaderboard.reports.plots, benchmarks.cli;"
        "print(sorted({'pandas', 'matplotlib', 'torch', 'plotly'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_latex_has_the_best_in_bold_and_the_intervals(boards: list[Board]) -> None:
    text = to_latex(boards)
    lines = [line for line in text.splitlines() if line.endswith(r"\\")]
    good, tie, worse, burst, ptq = (line for line in lines if line.count("&") == 7 and "Recipe" not in line)
    assert good.startswith(r"good\_1 & binary & 8 & \textbf{89.90} & 87.9--91.6 & $-$0.10")
    assert r"\textbf{89.80}" in tie
    assert "textbf" not in worse
    assert r"10 (8) & \textbf{89.00}" in burst
    assert "n/a" in ptq
    for command in (r"\toprule", r"\midrule", r"\bottomrule", r"\begin{tabular}", r"\end{table}"):
        assert command in text
    assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")


def test_latex_prints_names_as_they_are() -> None:
    assert escape("a_b & 50 % {x} \\y ≤3") == r"a\_b \& 50 \% \{x\} \textbackslash{}y $\leq$3"


def test_plots_are_drawn_in_every_format(boards: list[Board], tmp_path: Path) -> None:
    found = write_plots(boards, tmp_path / "plots")
    starts = {".pdf": b"%PDF", ".png": b"\x89PNG", ".svg": b"<?xml"}
    assert len(found) == 9
    for path in found:
        assert path.read_bytes().startswith(starts[path.suffix])
    assert len(write_plots(boards, tmp_path, formats=["svg"])) == 3


def test_the_best_of_each_group_are_drawn_in_colour(boards: list[Board]) -> None:
    (board,) = boards
    assert [row.label for row in best_of_groups(board)] == ["good_1", "burst", "ptq", "tie", "=cmd|'x'"]
    assert [row.label for row in best_of_groups(board, 2)] == ["good_1", "burst"]


def test_a_figure_of_loaded_records_has_their_curves_and_shows_itself(make: Make, tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    store.write(make({1: 0.5, 8: 0.89}, label="one"))
    store.write(make({2: 0.25, 4: 0.75}, label="two"))
    records = store.load().records
    figure = plot(records)
    (axes,) = figure.axes
    curves = {line.get_label(): line.get_xydata().tolist() for line in axes.get_lines()}
    assert curves["one"] == [[1, 50], [8, 89]]
    assert curves["two"] == [[2, 25], [4, 75]]
    assert {y for _, y in curves["ANN"]} == {90}
    assert figure._repr_png_().startswith(b"\x89PNG")
    energies = {line.get_label(): line.get_xdata().tolist() for line in plot(records, "energy").axes[0].lines}
    assert energies["one"] == pytest.approx([100e-6, 800e-6])
    (board,) = rank(records)
    assert len(plot(board, "models").axes) == 1


def test_what_cannot_be_drawn_is_said(make: Make) -> None:
    with pytest.raises(ValueError, match="no records"):
        plot([])
    with pytest.raises(ValueError, match=r"2 boards, draw one of rank\(records\): .*net.*; .*other"):
        plot([make(), make(network="other")])
    with pytest.raises(ValueError, match="no recipe is at 1-point parity"):
        plot([make({4: 0.5})], "models")
    with pytest.raises(ValueError, match="expected one of time, energy, models, got 'area'"):
        plot([make()], "area")  # type: ignore[arg-type]
