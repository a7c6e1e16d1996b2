import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conversion import convert, prepare, recipe_from
from conversion.allocation import AdaptiveFire, SpikeCompression
from conversion.allocation.budget import Option, choose
from conversion.allocation.compression import scaled
from conversion.errors import RecipeError
from conversion.fitting.facts import Calibration
from conversion.fitting.sensitivity import Sensitivity, symmetric_divergence

RECIPE = {"preset": "burst", "neuron": {"gamma": 4}, "scale": "least-squares", "initial": "shift"}
T = 6


@pytest.fixture
def facts(branchy: nn.Module, calibration: Tensor) -> Calibration:
    prepared = prepare(branchy, calibration)
    recipe = recipe_from(RECIPE)
    return Calibration(prepared.plan(recipe), prepared.batches, prepared.statistics, T, recipe.scale)


def test_divergence_is_symmetric_and_by_location() -> None:
    p, q = torch.randn(2, 3, 4, 2, 2, dtype=torch.float64)

    def one_way(a: Tensor, b: Tensor) -> Tensor:
        rows = (x.movedim(1, -1).reshape(-1, 4) for x in (a, b))
        a, b = (row.log_softmax(1) for row in rows)
        return F.kl_div(b, a, reduction="batchmean", log_target=True)

    assert symmetric_divergence(p, q) == pytest.approx(float(one_way(p, q) + one_way(q, p)) / 2)
    assert symmetric_divergence(p, q) == pytest.approx(symmetric_divergence(q, p))
    assert symmetric_divergence(p, p) == 0.0
    logit = torch.randn(2, 5, 1, dtype=torch.float64)
    both = torch.stack([logit, torch.zeros_like(logit)], 2).flatten(1, 2).view(2, 5, 2)
    assert symmetric_divergence(*logit) == pytest.approx(symmetric_divergence(*both))


def test_what_is_measured_is_what_the_network_does(facts: Calibration, branchy: nn.Module) -> None:
    layers = facts.layers()
    found = Sensitivity(facts, T, 7).measure(layers)
    snn = convert(branchy, RECIPE, facts.batches)
    readout = next(snn.simulate(facts.batches[0][:7], (T,)))
    assert found.spikes == {name: readout.activity.spikes[name] for name in layers}
    expected = symmetric_divergence(readout.output, branchy(facts.batches[0][:7]).detach())
    assert found.divergence == pytest.approx(expected)


@pytest.mark.parametrize("refit", [False, True])
def test_bursts_are_the_best_that_the_budget_allows(facts: Calibration, refit: bool) -> None:
    rule = AdaptiveFire(desired=2, ratio=0.9, images=6, refit=refit)
    layers = facts.layers()
    found = rule.assign(facts, layers)
    assert list(found) == list(layers)
    gammas = [layer.neuron.max_per_step for layer in found.values()]
    sensitivity = Sensitivity(facts, T, 6)
    options = []
    for name, layer in layers.items():
        tried = []
        for gamma in (1, 2, 3, 4):
            changed = dataclasses.replace(layer, neuron=dataclasses.replace(layer.neuron, gamma=gamma))
            if refit:
                changed = dataclasses.replace(facts, neurons={name: changed.neuron}).layers()[name]
            result = sensitivity.measure({**layers, name: changed})
            tried.append(Option(result.spikes[name], result.divergence))
        options.append(tried)
    budget = 0.9 * sum(tried[1].cost for tried in options)
    assert gammas == [index + 1 for index in choose(options, budget)]
    assert sum(tried[gamma - 1].cost for tried, gamma in zip(options, gammas, strict=True)) <= budget


def test_thresholds_are_fitted_to_the_bursts_found(facts: Calibration) -> None:
    layers = facts.layers()
    found = AdaptiveFire(desired=1, ratio=0.8, images=4).assign(facts, layers)
    assert any(layer.neuron.max_per_step < 4 for layer in found.values())
    for node, role in facts.neuron_layers:
        layer = found[role.name]
        alone = dataclasses.replace(facts, neurons={role.name: layer.neuron})
        rule = facts.scale
        expected = alone.layer(role, rule.thresholds(alone.facts(role)), len(facts.plan.shapes[node]))
        assert torch.equal(layer.threshold, expected.threshold)
        assert torch.allclose(layer.offset, layer.threshold / (2 * T))


@pytest.mark.parametrize("ratio", [1.0, 1.3, 2.5])
def test_compression_saves_spikes_and_keeps_its_promise(facts: Calibration, ratio: float) -> None:
    layers = facts.layers()
    found = SpikeCompression(ratio, images=8).assign(facts, layers)
    sensitivity = Sensitivity(facts, T, 8)
    before, after = sensitivity.measure(layers), sensitivity.measure(found)
    assert after.divergence <= ratio * before.divergence * (1 + 1e-9)
    for name, layer in found.items():
        factor = float((layer.threshold / layers[name].threshold).mean())
        assert factor == pytest.approx(round(2 * factor) / 2)
        assert 1 <= factor <= 10
    if ratio == 2.5:
        assert sum(after.spikes.values()) < sum(before.spikes.values())


def test_scaled_layers_keep_what_is_relative_to_their_threshold(facts: Calibration) -> None:
    layer = facts.layers()["joined"]
    larger = scaled(layer, 3.0)
    assert torch.equal(larger.threshold, 3 * layer.threshold)
    assert torch.allclose(larger.offset / larger.threshold, layer.offset / layer.threshold)
    assert scaled(dataclasses.replace(layer, offset=None), 2.0).offset is None


def test_both_in_one_recipe_and_for_a_fixed_length(branchy, calibration, images) -> None:
    recipe = {
        **RECIPE,
        "allocation": {"name": "adaptive-fire", "images": 4, "compression": 1.5, "desired": 2},
    }
    snn = convert(branchy, recipe, calibration)
    assert snn.recipe.needs_time_steps
    assert [readout.t for readout in snn.simulate(images, (2, 3))] == [2, 3]
    fixed = convert(
        branchy,
        {"preset": "burst", "allocation": {"name": "spike-compression", "images": 4, "time_steps": 8}},
        calibration,
    )
    assert not fixed.recipe.needs_time_steps


def test_neurons_without_bursts_are_refused(branchy, calibration, images) -> None:
    for recipe, message in (
        ({"preset": "opi", "allocation": "adaptive-fire"}, "'integrate-and-fire' does not have"),
        (
            {"preset": "burst", "allocation": {"name": "adaptive-fire", "desired": 9}},
            "at least desired=9, got 5",
        ),
    ):
        with pytest.raises(RecipeError, match=message):
            list(convert(branchy, recipe, calibration).simulate(images, (4,)))


@pytest.mark.parametrize(
    ("part", "wrong"),
    [
        (AdaptiveFire, {"least": 0}),
        (AdaptiveFire, {"least": 5}),
        (AdaptiveFire, {"ratio": 0.0}),
        (AdaptiveFire, {"compression": 0.5}),
        (AdaptiveFire, {"images": 0}),
        (SpikeCompression, {"ratio": 0.9}),
        (SpikeCompression, {"step": 0.0}),
        (SpikeCompression, {"largest": 0.5}),
        (SpikeCompression, {"time_steps": -1}),
    ],
    ids=str,
)
def test_bad_parameters_are_refused(part: type, wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"must be|need 1"):
        part(**wrong)
