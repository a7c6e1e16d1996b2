"""Rate matching: better rates than before, by channel, from calibration images alone."""

import pytest
import torch
from torch import nn

from conversion import SpikingNetwork, convert
from conversion.corrections import matching
from conversion.errors import RecipeError
from conversion.fit import PerLength
from conversion.plan.layer import SpikingLayer

T = 8
MATCHING = {"name": "rate-matching", "time_steps": T}
BINARY = {"preset": "spikemark-binary", "correction": MATCHING, "scale": {"time_steps": T}}
UNMATCHED = {**BINARY, "correction": "none"}


@pytest.fixture
def ann() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(8 * 36, 5),
    )  # fmt: skip


@pytest.fixture
def pictures() -> torch.Tensor:
    return torch.randn(24, 3, 6, 6, generator=torch.Generator().manual_seed(4))


def rates(snn: SpikingNetwork, depth: int, images: torch.Tensor) -> torch.Tensor:
    """Mean of what layer `depth` sends over T steps, by a loop over the modules."""
    layers: list[SpikingLayer] = list(snn.layers.values())[: depth + 1]
    weights = [module for module in snn.captured.children() if isinstance(module, nn.Conv2d)]
    states = [None] * len(layers)
    total = 0
    for _ in range(T):
        value = images
        for index, layer in enumerate(layers):
            current = weights[index](value) + (0 if layer.offset is None else layer.offset)
            if states[index] is None:
                states[index] = layer.neuron.start(layer.initial.expand_as(current).clone())
            spikes, states[index] = layer.neuron.step(current / layer.threshold, states[index])
            value = spikes * layer.threshold
        total = total + value
    return total / T


def errors(ann: nn.Module, snn: SpikingNetwork, images: torch.Tensor) -> list[float]:
    found = []
    for depth in range(3):
        activation = ann[: 2 * depth + 2](images)
        found.append(float((rates(snn, depth, images) - activation).square().mean()))
    return found


def test_rates_come_closer_where_spikes_arrive(ann, pictures) -> None:
    with torch.no_grad():
        before = errors(ann, convert(ann, UNMATCHED, pictures), pictures)
        after = errors(ann, convert(ann, BINARY, pictures), pictures)
    assert after[0] <= before[0] * (1 + 1e-5)  # a constant input: least squares was best already
    assert after[1] < 0.9 * before[1]
    assert after[2] < 0.9 * before[2]


def test_no_channel_of_the_first_layer_gets_worse(ann, pictures) -> None:
    with torch.no_grad():
        activation = ann[:2](pictures)
        before, after = (
            (rates(convert(ann, recipe, pictures), 0, pictures) - activation).square().mean((0, 2, 3))
            for recipe in (UNMATCHED, BINARY)
        )
    assert (after <= before * (1 + 1e-5)).all()


def test_a_channel_keeps_one_fit_for_all_places(ann, pictures) -> None:
    snn = convert(ann, BINARY, pictures)
    for layer in snn.layers.values():
        for values in (layer.threshold, layer.initial, layer.offset):
            assert values.shape == (1, 8, 1, 1)


def test_weights_are_left_alone(ann, pictures) -> None:
    before = {name: value.clone() for name, value in ann.state_dict().items()}
    snn = convert(ann, BINARY, pictures)
    assert all(torch.equal(value, before[name]) for name, value in ann.state_dict().items())
    assert all(torch.equal(value, before[name]) for name, value in snn.captured.state_dict().items())


def test_weights_may_be_refitted_too(ann, pictures) -> None:
    """Where that brings rates closer; the ANN's own weights are never touched."""
    before = {name: value.clone() for name, value in ann.state_dict().items()}
    refitting = {**MATCHING, "iterations": 150, "learning_rate": 3e-3}
    with torch.no_grad():
        kept = errors(ann, convert(ann, BINARY, pictures), pictures)
        refitted = convert(ann, {**BINARY, "correction": refitting}, pictures)
        found = errors(ann, refitted, pictures)
    assert all(torch.equal(value, before[name]) for name, value in ann.state_dict().items())
    assert any(not torch.equal(v, before[name]) for name, v in refitted.captured.state_dict().items())
    assert found[1] <= kept[1] * (1 + 1e-5)
    assert found[2] < 0.98 * kept[2]


def test_nothing_to_choose_from_leaves_thresholds_and_start(ann, pictures) -> None:
    single = {"low": 1.0, "high": 1.0, "candidates": 1, "haste": 0.0, "caution": 0.0, "cautions": 1}
    recipe = {**BINARY, "correction": {**MATCHING, **single}}
    plain, matched = (convert(ann, spec, pictures).layers.values() for spec in (UNMATCHED, recipe))
    for one, other in zip(plain, matched, strict=True):
        torch.testing.assert_close(other.threshold, one.threshold.expand(1, 8, 1, 1))
        torch.testing.assert_close(other.initial, one.initial.expand(1, 8, 1, 1))


def test_a_mean_that_is_missing_is_added(pictures) -> None:
    """One neuron whose constant input 0.3 is rounded to 0 in 1 step: the bias makes up for it."""
    ann = nn.Sequential(nn.Conv2d(3, 1, 1), nn.ReLU(), nn.Flatten(), nn.Linear(36, 1))
    with torch.no_grad():
        ann[0].weight.zero_()
        ann[0].bias.fill_(0.3)
    recipe = {
        **BINARY,
        "scale": {"name": "maximum"},
        "correction": {**MATCHING, "time_steps": 1},
        "initial": "zero",
    }
    snn = convert(ann, recipe, pictures)
    (readout,) = snn.simulate(pictures, (1,))
    torch.testing.assert_close(readout.output, ann(pictures).detach(), rtol=0, atol=2e-2)


def test_without_a_number_of_steps_one_fit_for_each(ann, pictures) -> None:
    snn = convert(ann, "spikemark", pictures)
    assert isinstance(snn, PerLength)
    two, four = snn.at(2).thresholds, snn.at(4).thresholds
    assert any(not torch.equal(two[name], four[name]) for name in two)


def test_memory_limits_the_images(ann, pictures, monkeypatch) -> None:
    seen = []
    original = matching.SpikingPass.__init__

    def spy(self, plan, layers, images, *others) -> None:
        seen.append(len(images))
        original(self, plan, layers, images, *others)

    monkeypatch.setattr(matching.SpikingPass, "__init__", spy)
    convert(ann, BINARY, pictures)
    monkeypatch.setattr(matching, "MOST_BYTES", 10 * 4 * T * 8 * 36)
    convert(ann, BINARY, pictures)
    monkeypatch.setattr(matching, "MOST_BYTES", 1)
    convert(ann, BINARY, pictures)
    assert seen == [24, 10, 8]


@pytest.mark.parametrize("neuron", ["differential-multi-threshold", "temporal-weight"])
def test_other_codings_are_refused(ann, pictures, neuron: str) -> None:
    recipe = {**BINARY, "neuron": neuron, "initial": "zero"}
    with pytest.raises(RecipeError, match="rate-matching"):
        convert(ann, recipe, pictures)


BAD = [{"low": 1.2}, {"high": 0.9}, {"haste": -1.0}, {"cautions": 0}, {"iterations": -1}, {"time_steps": -1}]


@pytest.mark.parametrize("change", BAD)
def test_bad_parameters_are_named(ann, pictures, change) -> None:
    with pytest.raises(RecipeError, match=next(iter(change))):
        convert(ann, {**BINARY, "correction": change}, pictures)
