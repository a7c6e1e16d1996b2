"""A hint helps whoever mistyped, and does not guess at names that have nothing to do with it."""

from __future__ import annotations

import pytest

from conversion.nearest import did_you_mean
from conversion.recipes import recipe_names


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("spikalib", "spicalib"),
        ("dgcs", "dcgs"),
        ("hmx", "hmt"),
        ("opl", "opi"),
        ("calib", "calib-adv"),
        ("spiking", "spiking-yolo"),
        ("spikemark_signed", "spikemark-signed"),
    ],
)
def test_a_misspelt_or_shortened_recipe_is_found(typed: str, meant: str) -> None:
    assert did_you_mean(typed, recipe_names()) == f"did you mean '{meant}'? "


@pytest.mark.parametrize("typed", ["nosuch", "xyz", "q", "", "resnet", "my-recipe"])
def test_other_words_are_not_guessed_at(typed: str) -> None:
    assert did_you_mean(typed, recipe_names()) == ""
