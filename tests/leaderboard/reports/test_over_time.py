"""A board over time, and what it says of a claim: what its rows hold, and nothing that was not measured."""

from __future__ import annotations

import pytest

from leaderboard.ranking.boards import Board, rank
from leaderboard.reference.shipped import load_shipped
from leaderboard.reports.claims import fewer_steps, less_energy
from leaderboard.reports.over_time import over_time


def cells(board: Board, label: str) -> dict[str, str]:
    table = [line for line in over_time(board).splitlines() if line.startswith("|")]
    heads, *rows = ([cell.strip() for cell in line.split("|")[1:-1]] for line in table)
    (found,) = [row for row in rows if row[0] == f"`{label}`"]
    return dict(zip(heads, found, strict=True))


@pytest.fixture(scope="module")
def boards() -> dict[str, Board]:
    found = {board.dataset: board for board in rank(load_shipped().records)}
    if "BCCD" not in found:
        pytest.skip("no reference records of BCCD are packed")
    return found


def test_every_figure_is_that_of_a_read_out(boards: dict[str, Board]) -> None:
    board = boards["BCCD"]
    for row in board.rows:
        shown = cells(board, row.label)
        by_steps = {f"T={point.t_total:g}": point for point in row.curve}
        for head, text in shown.items():
            if head in by_steps:
                assert text == f"{100 * by_steps[head].metric:.1f}"
        if row.alphabet == "none":
            assert shown["T to 1.0"] == shown["fewer steps"] == "n/a"
        elif row.steps_within_1_point is None:
            assert shown["T to 1.0"] == shown["`operations`"] == "—"
        else:
            assert float(shown["T to 1.0"]) == row.steps_within_1_point


def test_a_step_that_no_read_out_follows_is_empty(boards: dict[str, Board]) -> None:
    board = boards["BCCD"]
    (row,) = [row for row in board.rows if row.label == "dcgs"]  # it takes a step more than it averages
    assert row.curve[0].t_total > 1
    assert cells(board, "dcgs")["T=1"] == ""


def test_a_ratio_is_on_one_side_of_the_claim(boards: dict[str, Board]) -> None:
    board = boards["BCCD"]
    spiking = {row.label for row in board.rows if row.alphabet != "none"}
    for claimed in (1, 2, 50, 1e6):
        said = fewer_steps(board, claimed)
        named = [[label for label in spiking if f"`{label}`" in sentence] for sentence in said]
        assert sorted(label for labels in named for label in labels) == sorted(spiking)
        slowest = max(row.final_t_total for row in board.rows if row.alphabet != "none")
        soon = [
            row.label
            for row in board.rows
            if row.steps_within_1_point and slowest / row.steps_within_1_point >= claimed
        ]
        assert set(named[0]) == set(soon) & spiking
    assert "nobody" in fewer_steps(board, 1e6)[0]


def test_energies_within_a_claim_are_those_of_rows(boards: dict[str, Board]) -> None:
    board = boards["CamVid"]
    said = {sentence.split("`")[1]: sentence for sentence in less_energy(board, 0.492)[2:]}
    for model, sentence in said.items():
        for row in board.rows:
            cost = row.energy_at_parity.get(model)
            named = f"`{row.label}` (" in sentence
            assert named == (row.alphabet != "none" and cost is not None and cost <= 0.492)
    assert all(sentence.endswith("nobody.") for sentence in less_energy(board, 0.0)[2:])
