import base64

import numpy as np
import pytest

from leaderboard.scores.proportions import ENCODING, Proportion, decode_outcomes, encode_outcomes, share_of
from leaderboard.statistics.intervals import wilson_interval
from leaderboard.statistics.resampling import metric_interval


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 1000])
def test_round_trip_keeps_every_image_in_order(count: int) -> None:
    outcomes = np.random.default_rng(count).random(count) < 0.5
    decoded = decode_outcomes(encode_outcomes(outcomes), count)
    assert decoded.dtype == np.bool_
    assert decoded.tolist() == outcomes.tolist()
    if count:
        assert share_of(encode_outcomes(outcomes), count) == outcomes.mean()


def test_bits_after_the_last_image_do_not_count() -> None:
    assert share_of(base64.b64encode(b"\x81\xff").decode(), 9) == 3 / 9


def test_first_image_is_the_highest_bit() -> None:
    # 1000 0001 is 0x81; the ninth image starts a second byte, padded with zeros.
    assert encode_outcomes([1, 0, 0, 0, 0, 0, 0, 1, 1]) == base64.b64encode(b"\x81\x80").decode()


def test_only_yes_and_no_are_packed() -> None:
    with pytest.raises(ValueError, match="0 or 1"):
        encode_outcomes([0.5, 1.0])
    with pytest.raises(ValueError, match=r"shape \[N\], got \[1, 2\]"):
        encode_outcomes([[0, 1]])


def test_damaged_text_is_named() -> None:
    with pytest.raises(ValueError, match="not base64"):
        decode_outcomes("no base64!", 8)
    with pytest.raises(ValueError, match="9 images need 2 bytes, got 1"):
        decode_outcomes(encode_outcomes([True] * 8), 9)
    with pytest.raises(ValueError, match="-1 images"):
        decode_outcomes("", -1)


def test_shares_of_images_keep_wilsons_interval():
    right = Proportion(np.array([True] * 30 + [False] * 10))
    assert metric_interval([right]) == wilson_interval(0.75, 40)
    assert right.score(np.ones((2, 40), dtype=np.int64)).tolist() == [0.75, 0.75]
    found = ENCODING.decode(None, encode_outcomes(right.right), 40)
    assert np.array_equal(found.right, right.right)
