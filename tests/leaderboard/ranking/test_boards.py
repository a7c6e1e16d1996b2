from collections.abc import Callable

import pytest

from leaderboard.ranking.boards import Board, at_limit, rank, ties_of
from leaderboard.records.record import Record

Make = Callable[..., Record]


def order(board: Board) -> list[tuple[str, int | None]]:
    return [(row.label, row.rank) for row in board.rows]


def test_no_records_no_boards() -> None:
    assert rank([]) == []


def test_groups_stand_in_order_and_rank_for_themselves(make: Make) -> None:
    records = [
        make({4: 0.89}, label="ptq", group="baseline"),
        make({4: 0.88}, label="qcfs", group="retrained"),
        make({4: 0.90}, label="burst", group="multi-level"),
        make({4: 0.70}, label="worse", group="binary"),
        make({4: 0.80}, label="better", group="binary"),
    ]
    (board,) = rank(records)
    assert order(board) == [("better", 1), ("worse", 2), ("burst", 1), ("qcfs", 1), ("ptq", None)]


def test_equal_metrics_are_ordered_by_time_steps_to_parity(make: Make) -> None:
    records = [
        make({1: 0.5, 2: 0.5, 4: 0.9}, label="slow"),
        make({1: 0.5, 2: 0.9, 4: 0.9}, label="fast"),
    ]
    assert [row.label for row in rank(records)[0].rows] == ["fast", "slow"]


def test_a_row_that_never_reaches_parity_comes_after_one_that_does(make: Make) -> None:
    # Same final metric, but the second started from a better ANN and stays 10 points below it.
    records = [
        make({4: 0.85}, label="a never", ann=0.95, group="retrained", checkpoint="a" * 64),
        make({4: 0.85}, label="b reached", ann=0.85, group="retrained", checkpoint="b" * 64),
    ]
    assert [row.label for row in rank(records)[0].rows] == ["b reached", "a never"]


def test_a_board_for_each_task_data_set_and_network(make: Make) -> None:
    records = [
        make(network="vgg"),
        make(network="resnet"),
        make(dataset="cifar10"),
        make(task="segmentation"),
    ]
    titles = [board.title for board in rank(reversed(records))]
    assert titles == [
        "cifar10 · net (classification)",
        "digits · resnet (classification)",
        "digits · vgg (classification)",
        "digits · net (segmentation)",
    ]


def test_the_board_says_what_the_ann_does(make: Make) -> None:
    records = [make(seed=0, ann=0.90, checkpoint="0" * 64), make(seed=1, ann=0.92, checkpoint="1" * 64)]
    (board,) = rank(records)
    assert board.ann_metric == pytest.approx(0.91)
    assert board.ann_metric_std == pytest.approx(0.02 / 2**0.5)
    assert board.images == 1000
    assert board.ann_energy_pj == {"operations": 4600.0}
    assert board.rows[0].seeds == (0, 1)


def test_an_ann_shared_by_recipes_counts_once(make: Make) -> None:
    records = [make(label=label, seed=seed, ann=0.9 + seed / 100, checkpoint=str(seed) * 64)
               for label, seed in (("a", 0), ("b", 0), ("c", 0), ("a", 1))]  # fmt: skip
    assert rank(records)[0].ann_metric == pytest.approx(0.905)


def test_an_ann_trained_twice_gives_two_boards(make: Make) -> None:
    records = [make(label="a", checkpoint="a" * 64), make(label="b", checkpoint="b" * 64)]
    boards = rank(records)
    assert [board.note for board in boards] == ["ANN aaaaaaaa", "ANN bbbbbbbb"]
    assert [[row.label for row in board.rows] for board in boards] == [["a"], ["b"]]
    assert boards[0].title == "digits · net (classification), ANN aaaaaaaa"


def test_the_same_recipe_on_two_anns_is_never_pooled(make: Make) -> None:
    boards = rank([make(checkpoint="a" * 64), make(checkpoint="b" * 64)])
    assert [row.seeds for board in boards for row in board.rows] == [(0,), (0,)]
    assert len(boards) == 2


def test_a_retrained_recipe_stays_and_is_marked(make: Make) -> None:
    records = [
        make(label="plain", ann=0.90, checkpoint="a" * 64),
        make({4: 0.93}, label="qcfs", ann=0.94, group="retrained", checkpoint="b" * 64),
    ]
    (board,) = rank(records)
    assert board.ann_metric == pytest.approx(0.90)
    plain, qcfs = board.rows
    assert (plain.own_ann, qcfs.own_ann) == (False, True)
    assert qcfs.gap_points == pytest.approx(-1.0)


def test_retrained_recipes_alone_have_no_common_ann(make: Make) -> None:
    records = [make(label=c, group="retrained", checkpoint=c * 64) for c in "ab"]
    (board,) = rank(records)
    assert (board.ann_metric, board.ann_energy_pj) == (None, {})
    assert all(row.own_ann for row in board.rows)


def test_retrained_recipes_that_share_an_ann_have_it_in_common(make: Make) -> None:
    (board,) = rank([make(label=c, group="retrained") for c in "ab"])
    assert board.ann_metric == pytest.approx(0.9)
    assert not any(row.own_ann for row in board.rows)


def test_different_test_images_go_to_different_boards(make: Make) -> None:
    records = [
        make(label="a"),
        make(label="b", provenance_data={"test": "other-images"}),
        make(label="c", count=200),
    ]
    assert [(board.note, [row.label for row in board.rows]) for board in rank(records)] == [
        ("test set fingerpr (1000 images)", ["a"]),
        ("test set fingerpr (200 images)", ["c"]),
        ("test set other-im (1000 images)", ["b"]),
    ]


def test_rows_of_one_name_are_told_apart(make: Make) -> None:
    a, b = make({4: 0.8}, config={"bits": 4}), make({4: 0.7}, config={"bits": 8})
    assert [row.label for row in rank([a, b])[0].rows] == [
        f"recipe #{a.cell_id[:6]}",
        f"recipe #{b.cell_id[:6]}",
    ]


def test_of_one_cell_the_newest_record_stands(make: Make) -> None:
    old = make({4: 0.5})
    new = make({4: 0.6}, provenance_created="2026-02-01T00:00:00Z")
    assert old.cell_id == new.cell_id
    (board,) = rank([new, old])
    assert [(row.metric, row.seeds) for row in board.rows] == [(0.6, (0,))]


def test_versions_of_the_benchmark_never_share_a_board(make: Make) -> None:
    records = [make({4: 0.8}, label="a"), make({4: 0.7}, label="b", benchmark_version=2)]
    boards = rank(records)
    assert [(board.benchmark_version, board.note) for board in boards] == [
        (1, "version 1 of the benchmark"),
        (2, "version 2 of the benchmark"),
    ]
    assert [[row.label for row in board.rows] for board in boards] == [["a"], ["b"]]


def test_a_limit_of_time_steps_ranks_what_was_read_out_by_then(make: Make) -> None:
    records = [
        make({1: 0.8, 8: 0.81}, label="early"),
        make({1: 0.1, 8: 0.9}, label="late", t_before=1),
        make({4: 0.9}, label="later"),
    ]
    boards = rank(records)
    assert order(boards[0]) == [("later", 1), ("late", 2), ("early", 3)]
    (limited,) = at_limit(boards, 3)
    assert order(limited) == [("early", 1), ("late", 2)]
    assert [(row.final_t_total, row.metric, row.until) for row in limited.rows] == [(1, 0.8, 1), (2, 0.1, 1)]
    assert [row.steps_within_1_point for row in at_limit(boards, 8)[0].rows] == [4, None, None]
    assert at_limit(boards, 0.5) == []
    assert at_limit(boards, None) == boards


def test_every_pair_of_a_group_is_compared(make: Make) -> None:
    records = [
        make({4: 0.900}, label="a"),
        make({4: 0.899}, label="b"),
        make({4: 0.850}, label="c"),
        make({4: 0.850}, label="d"),
        make({4: 0.850}, label="other", group="multi-level"),
        make({4: 0.850}, label="unknown", count=None),
        make({4: 0.850}, label="ptq", group="baseline"),
    ]
    (board,) = [each for each in rank(records) if each.images]
    ties = ties_of(board)
    assert {label: ties[label] for label in "abcd"} == {"a": ["b"], "b": ["a"], "c": ["d"], "d": ["c"]}
    assert ties["other"] == []
    assert ties["ptq"] is None
