import dataclasses
from typing import ClassVar, Literal

import pytest

from conversion import recipe_from, recipe_names
from conversion.neurons import SpikeCalibrated
from conversion.parts import Part, part_names, part_type, register, searched
from conversion.recipes import KINDS
from conversion.search import Choices, NumberRange, declared_ranges, search_ranges


@register
@dataclasses.dataclass(frozen=True)
class Everything(Part):
    """A part with every kind of field."""

    kind: ClassVar[str] = "test-search"
    name: ClassVar[str] = "everything"
    share: float = searched(0.5, 0.0, 1.0)
    count: int = searched(3, 1, 1000, log=True)
    wait: int = searched(4, 1 / 4, 2, of_time_steps=True)
    flag: bool = False
    word: Literal["a", "b"] = "a"
    word_or_none: Literal["a", "b"] | None = None
    fixed: int = 7
    text: str = "x"


def test_ranges_come_from_the_fields() -> None:
    assert declared_ranges("test-search", "everything", 16) == {
        "share": NumberRange(0.0, 1.0),
        "count": NumberRange(1, 1000, integer=True, log=True),
        "wait": NumberRange(4, 32, integer=True),
        "flag": Choices((False, True)),
        "word": Choices(("a", "b")),
        "word_or_none": Choices(("a", "b", None)),
    }


def test_a_range_of_time_steps_is_never_empty() -> None:
    assert declared_ranges("test-search", "everything", 1)["wait"] == NumberRange(1, 2, integer=True)


def test_a_range_includes_the_present_value() -> None:
    ranges = search_ranges(Everything(share=1.5, wait=99), 16)
    assert ranges["share"] == NumberRange(0.0, 1.5)
    assert ranges["wait"] == NumberRange(4, 99, integer=True)
    assert 99 in ranges["wait"]
    assert 100 not in ranges["wait"]


@pytest.mark.parametrize("t", [1, 8, 64, 256])
def test_the_allowance_goes_from_a_sixteenth_of_t_to_t(t: int) -> None:
    found = declared_ranges("neuron", SpikeCalibrated.name, t)["allowance"]
    assert found == NumberRange(max(-(-t // 16), 1), t, integer=True, log=True)


@pytest.mark.parametrize("name", recipe_names())
@pytest.mark.parametrize("t", [1, 32])
def test_every_preset_lies_in_its_own_ranges(name: str, t: int) -> None:
    recipe = recipe_from(name)
    for kind in KINDS:
        part = getattr(recipe, kind)
        for parameter, found in search_ranges(part, t).items():
            assert getattr(part, parameter) in found


def test_both_ends_of_every_declared_range_are_valid() -> None:
    for kind in KINDS:
        for name in part_names(kind):
            for parameter, found in declared_ranges(kind, name, 32).items():
                ends = found.values if isinstance(found, Choices) else (found.low, found.high)
                for end in ends:
                    part = part_type(kind, name)(**{parameter: end})
                    assert getattr(part, parameter) == end
