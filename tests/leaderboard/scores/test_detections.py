"""Metrics of resampled test sets: the stated metric with every image once, copies of images as weights."""

from __future__ import annotations

import numpy as np
import pytest

from leaderboard.scores.detections import (
    AveragePrecision,
    average_precision,
    encode_matches,
    encode_objects,
)
from leaderboard.scores.packing import pack
from leaderboard.scores.proportions import encode_outcomes
from leaderboard.statistics.resampling import metric_interval, paired_difference


def random_detections(seed: int, images: int = 9, classes: int = 3, thresholds: int = 2):
    """Image, label, score, hit [thresholds], ignored [thresholds] of each detection, and objects."""
    generator = np.random.default_rng(seed)
    objects = generator.integers(0, 4, (images, classes))
    rows = []
    for image in range(images):
        for label in range(classes):
            left = objects[image, label]
            for _ in range(generator.integers(0, 6)):
                hit = bool(left > 0 and generator.random() < 0.6)
                left -= hit
                easy = [hit and generator.random() < 0.8 for _ in range(thresholds)]
                ignored = [not one and generator.random() < 0.2 for one in easy]
                rows.append((image, label, generator.random(), easy, ignored))
    return rows, objects


def scores_of(rows, objects, interpolation, thresholds=2) -> AveragePrecision:
    rows = sorted(rows, key=lambda row: (row[1], -row[2]))
    bits = [sum(1 << i for i, one in enumerate(row[3]) if one) for row in rows]
    ignored = [sum(1 << i for i, one in enumerate(row[4]) if one) for row in rows]
    common = encode_objects(objects, thresholds, interpolation)
    text = encode_matches([r[0] for r in rows], [r[1] for r in rows], bits, ignored)
    return average_precision(common, text, len(objects))


def naive(rows, objects, interpolation, thresholds=2) -> float:
    """Average precision by its definition, one threshold, class and recall level at a time."""
    values = []
    for label in range(objects.shape[1]):
        total = objects[:, label].sum()
        if not total:
            continue
        for threshold in range(thresholds):
            ranked = sorted((r for r in rows if r[1] == label and not r[4][threshold]), key=lambda r: -r[2])
            hits = [r[3][threshold] for r in ranked]
            curve = [(sum(hits[:n]) / total, sum(hits[:n]) / n) for n in range(1, len(hits) + 1)]
            if interpolation == "all-point":
                levels = np.unique([recall for recall, _ in curve])
                steps = np.diff(levels, prepend=0.0)
                values.append(
                    sum(s * max(p for r, p in curve if r >= l) for l, s in zip(levels, steps, strict=True))
                )
            else:
                levels = np.linspace(0, 1, 101)
                values.append(np.mean([max((p for r, p in curve if r >= l), default=0.0) for l in levels]))
    return float(np.mean(values))


@pytest.mark.parametrize("interpolation", ["101-point", "all-point"])
@pytest.mark.parametrize("seed", range(3))
def test_every_image_once_gives_average_precision(interpolation, seed):
    rows, objects = random_detections(seed)
    scores = scores_of(rows, objects, interpolation)
    everyone = np.ones((1, len(objects)), dtype=np.int64)
    assert scores.score(everyone)[0] == pytest.approx(naive(rows, objects, interpolation))


@pytest.mark.parametrize("interpolation", ["101-point", "all-point"])
def test_a_weight_is_so_many_copies_of_the_image(interpolation):
    rows, objects = random_detections(5)
    draw = np.array([0, 2, 1, 0, 3, 1, 0, 1, 1])
    copies = [image for image, times in enumerate(draw) for _ in range(times)]
    copied = [(new, *row[1:]) for new, image in enumerate(copies) for row in rows if row[0] == image]
    scores = scores_of(rows, objects, interpolation)
    expected = naive(copied, objects[copies], interpolation)
    assert scores.score(draw[None])[0] == pytest.approx(expected)


def test_intervals_hold_the_metric_and_narrow_with_images():
    widths = []
    for images in (20, 180):
        rows, objects = random_detections(1, images=images)
        scores = scores_of(rows, objects, "all-point")
        found = metric_interval([scores])
        stated = naive(rows, objects, "all-point")
        assert found.low < stated < found.high
        widths.append(found.high - found.low)
    assert widths[1] < 0.6 * widths[0]


def test_a_network_does_not_differ_from_itself_and_pairing_narrows():
    rows, objects = random_detections(2, images=40)
    scores = scores_of(rows, objects, "all-point")
    same = paired_difference([scores], [scores])
    assert (same.mean, same.low, same.high) == (0, 0, 0)
    worse = [row for row in rows if not (row[0] == 3 and any(row[3]))]
    other = scores_of(worse, objects, "all-point")
    difference = paired_difference([scores], [other])
    assert difference.mean == pytest.approx(
        naive(rows, objects, "all-point") - naive(worse, objects, "all-point")
    )
    assert difference.low <= difference.mean <= difference.high
    alone = metric_interval([scores])
    assert difference.high - difference.low < alone.high - alone.low


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text": "no base64!"}, "cannot be unpacked"),
        ({"text": encode_outcomes([True])}, "cannot be unpacked"),
        ({"common": None}, "cannot be unpacked"),
        ({"count": 3}, "objects of 3 images"),
        ({"text": encode_matches([5], [0], [1], [0])}, "not there"),
        ({"text": encode_matches([0], [7], [1], [0])}, "not there"),
        ({"text": encode_matches([0, 0], [1, 0], [1, 1], [0, 0])}, "not sorted by class"),
        ({"text": encode_matches([0, 0], [1], [1], [0])}, "different lengths"),
        ({"text": encode_objects([[1]], 1, "all-point")}, "lack 'image'"),
        ({"common": encode_objects([[1, 1]], 1, "7-point")}, "7-point"),
    ],
)
def test_damage_is_named(change, message):
    sound = {
        "common": encode_objects([[1, 1]], 1, "all-point"),
        "text": encode_matches([0], [0], [1], [0]),
        "count": 1,
    }
    with pytest.raises(ValueError, match=message):
        average_precision(**{**sound, **change})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"hits": np.array([1.5])}, "hits of detections should be counts"),
        ({"image": np.array([-1])}, "images of detections should be counts"),
        ({"image": np.array([[0]])}, "images of detections should be counts"),
        ({"label": np.array(["a"])}, "classes of detections should be counts"),
        (
            {"image": [0, 0], "label": [0, 0], "hits": [1, 1], "ignored": [0, 0]},
            "more objects than there are",
        ),
    ],
)
def test_other_arrays_than_counts_are_named(changes: dict[str, object], reason: str) -> None:
    common = encode_objects([[1], [0]], 1, "all-point")
    own = {"image": [0], "label": [0], "hits": [1], "ignored": [0]}
    assert average_precision(common, pack(**{k: np.array(v) for k, v in own.items()}), 2).count == 2
    with pytest.raises(ValueError, match=reason):
        average_precision(common, pack(**{k: np.asarray(v) for k, v in (own | changes).items()}), 2)


def test_more_classes_than_detections_can_name_are_refused() -> None:
    """One table row of a million classes is a few bytes, and would be walked through at every read-out."""
    with pytest.raises(ValueError, match=r"objects of 1000000 classes, more than 65536"):
        average_precision(
            encode_objects(np.zeros((1, 10**6)), 1, "101-point"), encode_matches([], [], [], []), 1
        )


@pytest.mark.parametrize("interpolation", ["101-point", "11-point", "all-point"])
@pytest.mark.parametrize("few", [0, 256])
def test_both_ways_of_counting_are_those_of_copies(
    monkeypatch: pytest.MonkeyPatch, interpolation: str, few: int
) -> None:
    """Sums over detections and products of matrices: each against images that are there so many times."""
    monkeypatch.setattr("leaderboard.scores.detections.MANY_EACH", 0)
    monkeypatch.setattr("leaderboard.scores.detections.FEW_IMAGES", few)
    monkeypatch.setattr("leaderboard.scores.detections.MOST_AT_ONCE", 40)
    rows, objects = random_detections(5)
    generator = np.random.default_rng(6)
    weights = generator.integers(0, 3, (7, len(objects)))
    found = scores_of(rows, objects, interpolation).score(weights)
    for times, value in zip(weights, found, strict=True):
        copies = [(image, copy) for image, n in enumerate(times) for copy in range(n)]
        again = [(new, *row[1:]) for new, (old, _) in enumerate(copies) for row in rows if row[0] == old]
        repeated = objects[[old for old, _ in copies]]
        expected = scores_of(again, repeated, interpolation).score(np.ones((1, len(copies)), np.int64))[0]
        assert value == pytest.approx(expected, abs=1e-12)
