"""Which records share a board with references."""

from __future__ import annotations

from collections.abc import Callable

from leaderboard.ranking.boards import Board, rank
from leaderboard.ranking.families import Origin
from leaderboard.records.record import Record

Make = Callable[..., Record]


def origins(records: list[Record], origin: Origin = "reference") -> dict[str, Origin]:
    return {record.cell_id: origin for record in records}


def titles(boards: list[Board]) -> dict[str, list[tuple[str, str]]]:
    return {board.title: [(row.label, row.origin) for row in board.rows] for board in boards}


def test_the_same_network_and_images_share_a_board_whatever_they_are_called(make: Make) -> None:
    shipped = [make({4: 0.85}, label="opi", dataset="CIFAR-10", network="resnet20")]
    mine = make({4: 0.9}, label="mine", dataset="my images", network="my net")
    assert titles(rank([mine, *shipped], origins(shipped))) == {
        "CIFAR-10 · resnet20 (classification)": [("mine", "own"), ("opi", "reference")]
    }


def test_other_weights_stand_beside_and_the_board_says_why(make: Make) -> None:
    shipped = [make(label="opi", seed=seed, checkpoint=f"{seed}" * 64) for seed in (0, 1)]
    mine = make(label="mine", seed=7, checkpoint="d" * 64)
    found = titles(rank([mine, *shipped], origins(shipped)))
    assert found == {
        "digits · net (classification)": [("opi", "reference")],
        "digits · net (classification), ANN dddddddd, "
        "not the references' network, which is 00000000, 11111111": [("mine", "own")],
    }
    # Without references a network of another seed is one more run of the same training.
    assert len(rank([mine, *shipped])) == 1


def test_other_test_images_stand_beside_and_the_board_says_why(make: Make) -> None:
    shipped = [make(label="opi")]
    mine = make(label="mine", provenance_data={"test": "my own images"})
    notes = [board.note for board in rank([mine, *shipped], origins(shipped))]
    assert notes == [
        "test set fingerpr (1000 images)",
        "test set my own i (1000 images), not the references' images",
    ]


def test_images_without_a_fingerprint_are_not_taken_for_the_references(make: Make) -> None:
    shipped = [make(label="opi", dataset="CIFAR-10", provenance_data={})]
    mine = make(label="mine", dataset="others", provenance_data={})
    assert len(rank([mine, *shipped], origins(shipped))) == 2


def test_own_training_is_the_open_division_of_the_references_board(make: Make) -> None:
    shipped = [make(label="opi")]
    mine = make(label="qcfs", group="retrained", checkpoint="d" * 64)
    (board,) = rank([mine, *shipped], origins(shipped))
    assert {row.label: row.division for row in board.rows} == {"opi": "closed", "qcfs": "open"}


def test_a_training_for_conversion_follows_the_network_that_was_trained_beside_it(make: Make) -> None:
    shipped = [make(label="opi")]
    mine = [
        make(label="mine", checkpoint="d" * 64),
        make(label="qcfs", group="retrained", checkpoint="e" * 64),
    ]
    boards = rank([*mine, *shipped], origins(shipped))
    assert [[row.label for row in board.rows] for board in boards] == [["opi"], ["mine", "qcfs"]]


def test_of_a_row_with_several_runs_the_least_known_origin_is_said(make: Make) -> None:
    runs = [make(seed=seed, checkpoint="c" * 64) for seed in range(3)]
    known: dict[str, Origin] = {runs[0].cell_id: "reference", runs[1].cell_id: "claimed"}
    assert rank(runs[:1], known)[0].rows[0].origin == "reference"
    assert rank(runs[:2], known)[0].rows[0].origin == "claimed"
    assert rank(runs, known)[0].rows[0].origin == "own"


def test_rows_of_one_recipe_in_two_precisions_are_told_apart(make: Make) -> None:
    exact = make({4: 0.8}, config={"precision": "float32"})
    fast = make({4: 0.7}, config={"precision": "int8"}, provenance_precision="int8")
    (board,) = rank([exact, fast])
    assert [row.label for row in board.rows] == ["recipe (float32)", "recipe (int8)"]
