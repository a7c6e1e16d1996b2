import io
from collections.abc import Callable

import pytest
from rich.console import Console

from leaderboard.comparison.pairs import compare_folders, compare_recipes
from leaderboard.comparison.tables import (
    render_folders,
    render_others,
    render_pair,
    verdict,
    verdicts_over_time,
)
from leaderboard.ranking.boards import rank
from leaderboard.records.record import Record
from leaderboard.statistics.figures import snn_minus_snn

Make = Callable[..., Record]


def printed(draw: Callable[[Console], None]) -> str:
    console = Console(file=io.StringIO(), width=120, no_color=True)
    draw(console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def two(make: Make) -> tuple[Record, Record]:
    parts = [{"neuron": {"name": "burst", "gamma": g}, "initial": {"name": "zero"}} for g in (5, 10)]
    return (
        make({1: 0.5, 4: 0.89, 8: 0.9}, label="five", method_parts=parts[0]),
        make({1: 0.7, 4: 0.88}, label="ten", method_parts=parts[1], pj_per_step=50.0),
    )


def test_two_recipes_differ_where_they_differ(make: Make) -> None:
    first, second = two(make)
    (pair,) = compare_recipes(rank([first, second, make(label="third")]), "five", "ten")
    changed = {change.name: (change.first, change.second) for change in pair.changes}
    assert changed["neuron.gamma"] == ("5", "10")
    assert not {"neuron.name", "initial.name"} & set(changed)
    assert [reading.t for reading in pair.readings] == [1, 4]
    assert pair.readings[0].difference == snn_minus_snn([second], [first], 1)
    assert pair.readings[0].difference.mean == pytest.approx(0.2)
    text = printed(lambda console: render_pair(pair, console))
    for part in ("neuron.gamma", "+20.00", "ten is better", "energy at parity, operations", "0.0870×"):
        assert part in text
    assert verdicts_over_time(pair) == "ten is better at t = 1; five is better at t = 4."


def test_the_sentence_and_its_interval_have_one_sign(make: Make) -> None:
    records = list(two(make))
    for names in (("five", "ten"), ("ten", "five")):
        (pair,) = compare_recipes(rank(records), *names)
        difference = snn_minus_snn(records[:1], records[1:])
        assert difference is not None
        assert verdict(pair) == (
            f"five is better than ten by 2.00 points (95 %: +{100 * difference.low:.2f} to "
            f"+{100 * difference.high:.2f}) at their last read-outs."
        )


def test_read_outs_that_cannot_be_told_apart_are_named(make: Make) -> None:
    a, b = make({1: 0.5, 4: 0.889}, label="a"), make({1: 0.8, 4: 0.89}, label="b")
    (pair,) = compare_recipes(rank([a, b]), "a", "b")
    assert verdicts_over_time(pair) == "b is better at t = 1; a tie at t = 4."
    (apart,) = compare_recipes(rank([a, make({2: 0.8}, label="c")]), "a", "c")
    assert verdicts_over_time(apart) == "They have no read-out in common."


def test_what_test_images_do_not_tell_apart_is_a_tie(make: Make) -> None:
    records = [make({4: 0.89}, label="a"), make({4: 0.889}, label="b")]
    (pair,) = compare_recipes(rank(records), "a", "b")
    assert verdict(pair).startswith("A tie")
    other = [records[0], make({4: 0.889}, label="b", count=None, provenance_data={})]
    assert [len(board.rows) for board in rank(other)] == [1, 1]
    with pytest.raises(ValueError, match="no board with both"):
        compare_recipes(rank(other), "a", "b")


def test_a_preset_measured_in_two_precisions_stands_for_that_in_float32(make: Make) -> None:
    records = [
        make({4: 0.9}, label="other"),
        make({4: 0.8}, label="twice", config={"precision": "float32"}),
        make({4: 0.7}, label="twice", config={"precision": "int8"}, provenance_precision="int8"),
    ]
    (pair,) = compare_recipes(rank(records), "other", "twice")
    assert pair.second.records == (records[1],)


def test_a_preset_may_stand_for_its_only_row(make: Make) -> None:
    records = [make(label="burst gamma=3", method_name="burst"), make(label="b")]
    assert compare_recipes(rank(records), "burst", "b")[0].first.label == "burst gamma=3"
    records.append(make(label="burst gamma=4", method_name="burst"))
    with pytest.raises(ValueError, match=r"no recipe 'burst'; there are: b, burst gamma=3, burst gamma=4"):
        compare_recipes(rank(records), "burst", "b")


def test_further_boards_have_a_sentence_each(make: Make) -> None:
    boards = rank(
        make({1: 0.5, 4: 0.9 if label == "a" else 0.7}, label=label, network=network)
        for network in ("one", "two")
        for label in ("a", "b")
    )
    text = printed(lambda console: render_others(compare_recipes(boards, "a", "b"), console))
    assert "digits · one (classification): a tie at t = 1; a is better at t = 4." in text
    assert "digits · two (classification): " in text


def test_folders_are_compared_row_by_row(make: Make) -> None:
    same, before, after = make(label="same"), make({4: 0.8}, label="moved"), make({4: 0.7}, label="moved")
    one, other = rank([same, before, make(label="old")]), rank([same, after, make(label="new")])
    pairs, only_one, only_other = compare_folders(one, other)
    assert [(pair.first.label, len(pair.changes)) for pair in pairs] == [("same", 0), ("moved", 0)]
    assert [pair.final is not None and pair.final.excludes_zero for pair in pairs] == [False, True]
    assert (only_one, only_other) == (
        ["classification / digits / net / old"],
        ["classification / digits / net / new"],
    )
    text = printed(lambda console: render_folders(pairs, only_one, only_other, console))
    assert "−10.00" in text
    assert "2 rows in both, 2 of them with the same configuration" in text
    assert "1 differ by more than the test images explain" in text
    assert "Only in the second:\n  classification / digits / net / new" in text
