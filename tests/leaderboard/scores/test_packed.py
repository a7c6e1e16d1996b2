import numpy as np
import pytest

from leaderboard.records.record import Outcomes
from leaderboard.scores import encodings
from leaderboard.scores.base import ImageScores
from leaderboard.scores.detections import encode_matches, encode_objects
from leaderboard.scores.packed import PackedScores
from leaderboard.scores.pixels import encode_found_pixels, encode_true_pixels
from leaderboard.scores.proportions import Proportion, encode_outcomes
from leaderboard.statistics.resampling import metric_interval, paired_difference

OBJECTS = [[2, 0], [1, 1], [0, 3], [1, 2]]
IMAGE, LABEL = [0, 1, 3, 0, 2, 3, 2], [0, 0, 0, 0, 1, 1, 1]


def detections(hits: list[int]) -> Outcomes:
    return Outcomes(
        measure="map",
        encoding="detections-npz-base64",
        count=len(OBJECTS),
        common=encode_objects(OBJECTS, 2, "101-point"),
        ann=encode_matches(IMAGE, LABEL, hits, [0] * len(hits)),
        at={},
    )


def pixels(correct: list[list[int]]) -> Outcomes:
    true = [[6, 4], [5, 5], [10, 0], [1, 9]]
    return Outcomes(
        measure="miou",
        encoding="pixels-npz-base64",
        count=4,
        common=encode_true_pixels(true),
        ann=encode_found_pixels(correct, true),
        at={},
    )


def decoded(outcomes: Outcomes) -> ImageScores:
    return encodings.decoded(outcomes.encoding, outcomes.common, outcomes.ann, outcomes.count)


OUTCOMES = [
    (detections([3, 1, 0, 2, 3, 3, 0]), detections([0, 1, 3, 2, 0, 3, 1])),
    (pixels([[5, 3], [5, 5], [9, 0], [0, 8]]), pixels([[2, 3], [4, 1], [10, 0], [1, 9]])),
]


@pytest.mark.parametrize(("one", "other"), OUTCOMES)
def test_packed_and_unpacked_scores_agree(one: Outcomes, other: Outcomes) -> None:
    packed, unpacked = one.scores(one.ann), decoded(one)
    assert isinstance(packed, PackedScores)
    assert (packed.count, packed.work) == (unpacked.count, unpacked.work)
    draws = np.array([[1, 1, 1, 1], [0, 2, 1, 1], [4, 0, 0, 0]])
    assert packed.score(draws).tolist() == unpacked.score(draws).tolist()
    assert metric_interval([packed]) == metric_interval([unpacked])
    left, right = [one.scores(one.ann)], [other.scores(other.ann)]
    expected = paired_difference([unpacked], [decoded(other)])
    assert paired_difference(left, right) == expected
    assert expected.mean != 0


def test_read_outs_of_equal_texts_and_another_common_part_are_told_apart() -> None:
    one = detections([3, 1, 0, 2, 3, 3, 0])
    more = one.model_copy(update={"common": encode_objects([[2, 0], [1, 1], [0, 3], [1, 5]], 2, "101-point")})
    first, second = (metric_interval([each.scores(each.ann)]) for each in (one, more))
    assert first != second


def test_proportions_are_unpacked_at_once() -> None:
    outcomes = Outcomes(measure="top1", count=3, ann=encode_outcomes([True, False, True]), at={})
    assert isinstance(outcomes.scores(outcomes.ann), Proportion)


def test_damage_is_named_where_it_is_met() -> None:
    outcomes = detections([3, 1, 0, 2, 3, 3, 0])
    with pytest.raises(ValueError, match="detections cannot be unpacked"):
        outcomes.scores(outcomes.ann[:40]).score(np.ones((1, 4), dtype=np.int64))
