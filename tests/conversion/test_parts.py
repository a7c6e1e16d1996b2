import dataclasses
from typing import ClassVar

import pytest

from conversion.errors import RecipeError
from conversion.nearest import nearest
from conversion.neurons import Burst, IntegrateAndFire, SpikeCalibrated
from conversion.parts import Part, build_part, part_names, register, searched
from conversion.recipes import KINDS
from conversion.scales import Percentile


def test_part_from_its_name() -> None:
    assert build_part("neuron", "burst") == Burst(5)
    assert build_part("neuron", {"name": "burst", "gamma": 3}) == Burst(3)


def test_mapping_without_a_name_changes_the_base() -> None:
    base = SpikeCalibrated(gamma=7, allowance=9)
    assert build_part("neuron", {"allowance": 4}, base) == SpikeCalibrated(7, 4)
    assert base == SpikeCalibrated(7, 9)


def test_another_part_starts_from_its_own_defaults() -> None:
    assert build_part("neuron", {"name": "burst"}, SpikeCalibrated(gamma=7)) == Burst(5)
    assert build_part("neuron", "integrate-and-fire", Burst(9)) == IntegrateAndFire()


@pytest.mark.parametrize("part", [Burst(3), SpikeCalibrated(2, 8, "cons"), Percentile(0.97, True)])
def test_parts_survive_their_plain_form(part: Part) -> None:
    assert build_part(part.kind, part.as_dict()) == part


@pytest.mark.parametrize(
    ("kind", "spec", "message"),
    [
        ("neuron", "brust", "unknown neuron 'brust'; did you mean 'burst'"),
        ("scale", "nothing like it", "unknown scale 'nothing like it'; valid: .*maximum, .*percentile"),
        (
            "neuron",
            {"name": "burst", "gama": 3},
            "neuron 'burst' has no parameter 'gama'; did you mean 'gamma'",
        ),
        ("neuron", {"name": "burst", "gamma": 0}, "neuron 'burst': gamma must be at least 1, got 0"),
        ("neuron", {"name": "burst", "gamma": "many"}, "neuron 'burst': "),
        ("neuron", {"gamma": 3}, "unknown neuron 'None'"),
        ("neuron", 5, "neuron must be a name or a mapping of parameters, got 5"),
        ("neuron", None, "neuron must be a name or a mapping of parameters, got None"),
        ("neuron", {"name": ["burst"]}, r"unknown neuron '\['burst'\]'"),
        ("neuron", {"name": "burst", "gamma": 2.5}, "'burst': gamma must be a whole number, got 2.5"),
        ("neuron", {"name": "burst", "gamma": True}, "'burst': gamma must be a whole number, got True"),
        ("scale", {"name": "percentile", "p": "high"}, "'percentile': p must be a number, got 'high'"),
        ("scale", {"name": "maximum", "per_channel": 1}, "per_channel must be true or false, got 1"),
    ],
)
def test_mistakes_are_named_with_the_nearest_valid_name(kind: str, spec, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        build_part(kind, spec)


@pytest.mark.parametrize("kind", KINDS)
def test_every_part_of_every_question_builds_from_its_name(kind: str) -> None:
    names = part_names(kind)
    assert len(names) == len(set(names)) >= 1
    for name in names:
        part = build_part(kind, name)
        assert (part.kind, part.name) == (kind, name)
        assert build_part(kind, part.as_dict()) == part


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("neuron", {"burst", "integrate-and-fire", "quantiser", "spike-calibrated"}),
        ("pooling", {"gate", "lateral-inhibition", "per-step"}),
        ("scale", {"maximum", "percentile"}),
        ("initial", {"fraction", "shift", "zero"}),
        ("correction", {"none"}),
        ("allocation", {"uniform"}),
        ("readout", {"average", "delayed"}),
        ("exit", {"none"}),
    ],
)
def test_what_matrices_rely_on_keeps_its_name(kind: str, names: set[str]) -> None:
    assert names <= set(part_names(kind))


def test_a_name_is_taken_once() -> None:
    @dataclasses.dataclass(frozen=True)
    class Impostor(Part):
        kind: ClassVar[str] = "neuron"
        name: ClassVar[str] = "burst"

    with pytest.raises(ValueError, match="neuron 'burst' is registered twice"):
        register(Impostor)
    assert build_part("neuron", "burst") == Burst()


def test_ranges_for_tuning_stand_beside_the_fields() -> None:
    (gamma,) = dataclasses.fields(Burst)
    assert gamma.metadata["range"] == (2, 20)
    assert gamma.default == 5
    assert searched(1, 0, 2, log=True).metadata["log"] is True


def test_nearest_lists_all_names() -> None:
    assert nearest("gat", ["per-step", "gate"]) == "did you mean 'gate'? valid: gate, per-step"
    assert nearest("zzz", ["b", "a"]) == "valid: a, b"
