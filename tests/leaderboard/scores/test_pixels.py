"""Overlap of resampled test sets: counting pixels of copies of the images."""

from __future__ import annotations

import numpy as np
import pytest

from leaderboard.scores.packing import pack
from leaderboard.scores.pixels import MeanOverlap, encode_found_pixels, encode_true_pixels, mean_overlap
from leaderboard.statistics.resampling import metric_interval, paired_difference


def random_maps(seed, images=7, classes=4, right=0.5):
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, classes, (images, 60))
    truth[1:] = np.where(truth[1:] == classes - 1, 0, truth[1:])  # the last class is in the first image alone
    found = np.where(
        generator.random(truth.shape) < right, truth, generator.integers(0, classes, truth.shape)
    )
    return truth, found


def counts(truth, found, classes=4):
    every = range(classes)
    true = [[(image == k).sum() for k in every] for image in truth]
    seen = [[(image == k).sum() for k in every] for image in found]
    both = [[((t == k) & (f == k)).sum() for k in every] for t, f in zip(truth, found, strict=True)]
    return both, seen, true


def packed(truth, found):
    both, seen, true = counts(truth, found)
    return {
        "common": encode_true_pixels(true),
        "text": encode_found_pixels(both, seen),
        "count": len(truth),
    }


def naive(truth, found, classes=4):
    values = []
    for k in range(classes):
        t, f = set(np.flatnonzero(truth == k)), set(np.flatnonzero(found == k))
        if t:
            values.append(len(t & f) / len(t | f))
    return float(np.mean(values))


def decoded(truth, found) -> MeanOverlap:
    return mean_overlap(**packed(truth, found))


@pytest.mark.parametrize("seed", range(3))
def test_every_image_once_gives_the_pooled_mean(seed):
    truth, found = random_maps(seed)
    everyone = np.ones((1, len(truth)), dtype=np.int64)
    assert decoded(truth, found).score(everyone)[0] == pytest.approx(naive(truth, found))


def test_a_weight_is_so_many_copies_of_the_image():
    truth, found = random_maps(5)
    draws = np.array([[0, 2, 1, 0, 3, 1, 0], [4, 0, 0, 0, 1, 1, 1]])  # the first lacks the last class
    expected = []
    for draw in draws:
        copies = np.repeat(np.arange(len(truth)), draw)
        expected.append(naive(truth[copies], found[copies]))
    assert decoded(truth, found).score(draws) == pytest.approx(expected)


def test_intervals_hold_the_metric_and_narrow_with_images():
    widths = []
    for images in (20, 320):
        truth, found = random_maps(1, images)
        truth[truth == 3] = 0  # one image with a class of its own would decide the width
        interval = metric_interval([decoded(truth, found)])
        assert interval.low < naive(truth, found) < interval.high
        widths.append(interval.high - interval.low)
    assert widths[1] < 0.5 * widths[0]


def test_paired_differences_see_what_separate_intervals_do_not():
    truth, worse = random_maps(2, 40, right=0.5)
    better = worse.copy()
    better[:, ::10] = truth[:, ::10]
    difference = paired_difference([decoded(truth, better)], [decoded(truth, worse)])
    assert difference.mean == pytest.approx(naive(truth, better) - naive(truth, worse))
    assert difference.low > 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text": "no base64!"}, "pixel counts cannot be unpacked"),
        ({"common": None}, "pixel counts cannot be unpacked"),
        ({"text": pack(correct=np.zeros((7, 4)))}, "pixel counts lack 'found'"),
        ({"count": 8}, "of 8 images asked for"),
        ({"text": encode_found_pixels(np.full((7, 4), 99), np.full((7, 4), 99))}, "contradict"),
        ({"text": encode_found_pixels(np.zeros((7, 3)), np.zeros((7, 3)))}, "found shapes"),
    ],
)
def test_damage_is_reported(change, message):
    with pytest.raises(ValueError, match=message):
        mean_overlap(**{**packed(*random_maps(0)), **change})


def test_a_record_stays_small():
    generator = np.random.default_rng(0)
    true = generator.integers(0, 50_000, (500, 19)) * (generator.random((500, 19)) < 0.5)
    text = encode_found_pixels(true // 2, true)
    assert len(text) < 500 * 19 * 8  # bytes of one count each as text
