"""What is said of a name that nobody registered."""

from __future__ import annotations

from spikemark_plugins.names import closest, did_you_mean


def test_the_nearest_name_is_asked_for_and_all_are_listed_in_their_order() -> None:
    assert did_you_mean("gat", ["per-step", "gate"]) == "; did you mean 'gate'? Valid: per-step, gate"


def test_a_name_that_is_like_none_gets_no_question() -> None:
    assert closest("zzz", ["a", "b"]) is None
    assert did_you_mean("zzz", ["b", "a"]) == ". Valid: b, a"


def test_what_is_no_text_is_taken_by_its_words() -> None:
    assert closest(16, ["16", "8"]) == "16"


def test_nothing_registered_is_said() -> None:
    assert did_you_mean("x", []) == ". Valid: none"
