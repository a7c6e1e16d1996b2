import itertools
import math

import numpy as np
import pytest
import scipy.signal

from leaderboard.statistics.intervals import paired_bootstrap, wilson_interval


def test_wilson_at_zero_and_one_successes_of_ten() -> None:
    # p = 0: bounds 0 and z^2 / (n + z^2), with z = 1.959964.
    z2 = 1.959963984540054**2
    none = wilson_interval(0.0, 10)
    assert none.low == pytest.approx(0.0, abs=1e-12)
    assert none.high == pytest.approx(z2 / (10 + z2))
    every = wilson_interval(1.0, 10)
    assert every.low == pytest.approx(10 / (10 + z2))
    assert every.high == pytest.approx(1.0, abs=1e-12)


def test_wilson_bounds_solve_the_score_equation() -> None:
    # By definition |p - b| = z sqrt(b (1 - b) / n) at both bounds b.
    interval = wilson_interval(0.3, 50, level=0.9)
    for bound in (interval.low, interval.high):
        assert abs(0.3 - bound) == pytest.approx(1.6448536269514722 * math.sqrt(bound * (1 - bound) / 50))
    assert interval.low < 0.3 < interval.high


def test_wilson_refuses_what_is_no_proportion() -> None:
    with pytest.raises(ValueError, match=r"proportion must be in \[0, 1\], got 91.7"):
        wilson_interval(91.7, 100)
    with pytest.raises(ValueError, match="count must be at least 1, got 0"):
        wilson_interval(0.5, 0)
    with pytest.raises(ValueError, match=r"level must be in \(0, 1\), got 95"):
        wilson_interval(0.5, 10, level=95)


def test_equal_outcomes_do_not_differ() -> None:
    outcomes = np.arange(100) % 3 == 0
    difference = paired_bootstrap(outcomes, outcomes)
    assert (difference.mean, difference.low, difference.high) == (0.0, 0.0, 0.0)
    assert not difference.excludes_zero


def test_a_constant_difference_has_no_spread() -> None:
    difference = paired_bootstrap(np.zeros(50, bool), np.ones(50, bool))
    assert (difference.mean, difference.low, difference.high) == (-1.0, -1.0, -1.0)
    assert difference.excludes_zero


def test_bounds_agree_with_resampling_images_one_by_one() -> None:
    generator = np.random.default_rng(1)
    a, b = generator.random(400) < 0.7, generator.random(400) < 0.6
    difference = paired_bootstrap(a, b)
    images = generator.integers(0, 400, size=(20_000, 400))
    low, high = np.quantile((a[images].astype(int) - b[images]).mean(axis=1), [0.025, 0.975])
    assert difference.mean == pytest.approx(a.mean() - b.mean())
    assert difference.low == pytest.approx(low, abs=0.003)
    assert difference.high == pytest.approx(high, abs=0.003)


def test_bounds_agree_with_the_normal_limit() -> None:
    # 10,000 images, 300 only the first gets right, 200 only the second: mean 0.01,
    # variance of one image 0.05 - 0.01^2, standard error sqrt(0.0499 / 10,000).
    a, b = np.zeros(10_000, bool), np.zeros(10_000, bool)
    a[:300] = True
    b[300:500] = True
    difference = paired_bootstrap(a, b)
    half = 1.96 * math.sqrt(0.0499 / 10_000)
    assert difference.mean == pytest.approx(0.01)
    assert difference.low == pytest.approx(0.01 - half, abs=2e-4)
    assert difference.high == pytest.approx(0.01 + half, abs=2e-4)
    assert difference.excludes_zero


def test_seeds_are_averaged_per_image() -> None:
    # Two seeds against one: per image (1, 1) - 0 = 1, (1, 0) - 0 = 0.5, (0, 0) - 1 = -1.
    two, one = np.array([[1, 1, 0], [1, 0, 0]], bool), np.array([0, 0, 1], bool)
    assert paired_bootstrap(two, one).mean == pytest.approx(0.5 / 3)
    assert paired_bootstrap(one, two).mean == pytest.approx(-0.5 / 3)


def test_bounds_of_a_few_images_are_those_of_every_possible_draw() -> None:
    # Four images, all 4**4 draws spelled out: the bounds cut off no more than 2.5 % on either side.
    a, b = np.array([[1, 0, 1, 1], [1, 0, 0, 1]], bool), np.array([0, 1, 0, 0], bool)
    each = a.mean(axis=0) - b
    means = sorted(each[list(draw)].mean() for draw in itertools.product(range(4), repeat=4))
    difference = paired_bootstrap(a, b)
    cut = int(0.025 * len(means))
    assert (difference.low, difference.high) == pytest.approx((means[cut], means[-1 - cut]))


@pytest.mark.parametrize(("seeds", "images", "share"), [(1, 500, 0.5), (5, 2000, 0.9), (3, 5000, 0.999)])
def test_bounds_of_many_images_are_those_of_the_whole_convolution(
    seeds: int, images: int, share: float
) -> None:
    generator = np.random.default_rng(seeds)
    a, b = generator.random((2, seeds, images)) < share
    each = a.sum(axis=0).astype(int) - b.sum(axis=0)
    chances = np.ones(1)
    for bit in bin(images)[2:]:  # squares and products of polynomials
        chances = scipy.signal.fftconvolve(chances, chances)
        if bit == "1":
            chances = scipy.signal.fftconvolve(
                chances, np.bincount(each + seeds, minlength=2 * seeds + 1) / images
            )
    low = np.searchsorted(np.cumsum(chances), 0.025) - images * seeds
    high = images * seeds - np.searchsorted(np.cumsum(chances[::-1]), 0.025)
    difference = paired_bootstrap(a, b)
    assert difference.low == pytest.approx(low / (images * seeds), abs=1e-12)
    assert difference.high == pytest.approx(high / (images * seeds), abs=1e-12)


def test_swapping_the_two_turns_the_bounds_around() -> None:
    a, b = np.arange(300) % 2 == 0, np.arange(300) % 3 == 0
    one, other = paired_bootstrap(a, b), paired_bootstrap(b, a)
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low))


def test_different_images_cannot_be_paired() -> None:
    with pytest.raises(ValueError, match="same images, got 3 and 4"):
        paired_bootstrap(np.ones(3, bool), np.ones(4, bool))
    with pytest.raises(ValueError, match="got 0 and 0"):
        paired_bootstrap(np.ones(0, bool), np.ones(0, bool))


def test_pairs_that_differ_on_as_many_images_have_one_interval_and_others_their_own():
    rng = np.random.default_rng(0)
    first, second = rng.random(200) < 0.8, rng.random(200) < 0.7
    found = paired_bootstrap(first, second)
    order = rng.permutation(200)
    assert paired_bootstrap(first[order], second[order]) == found
    turned = paired_bootstrap(second, first)
    assert (turned.mean, turned.low, turned.high) == pytest.approx((-found.mean, -found.high, -found.low))
    narrower = paired_bootstrap(first, second, level=0.5)
    assert found.low < narrower.low < narrower.high < found.high
    twice = paired_bootstrap(np.stack([first, first]), second)  # counted in halves, the same differences
    assert (twice.mean, twice.low, twice.high) == pytest.approx((found.mean, found.low, found.high))
