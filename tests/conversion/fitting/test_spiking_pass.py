import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from conversion import RecipeError, SpikingNetwork, convert
from conversion.convert import prepare
from conversion.fit import fit
from conversion.fitting.facts import Calibration
from conversion.fitting.spiking_pass import Arrival, SpikingPass
from conversion.neurons import Neuron
from conversion.parts import build_part, part_names
from conversion.signals.coding import RATE


def fitted(prepared, plan) -> SpikingNetwork:
    """The network of a plan whose recipe does not depend on T."""
    facts = Calibration(plan, prepared.batches, prepared.statistics, None, plan.method.scale)
    return fit(plan.method, facts)


@pytest.fixture
def network(branchy) -> nn.Module:
    return branchy.float()


@pytest.fixture
def shown(calibration) -> Tensor:
    return calibration.float()[:6]


def observe(network: nn.Module, images: Tensor, steps: int, recipe="opi"):
    """What a rule that changes nothing sees of every layer, and the network it was in."""
    prepared = prepare(network, images)
    plan = prepared.plan(recipe)
    spiking = fitted(prepared, plan)
    seen: dict[str, tuple[Tensor, Tensor, Tensor, Tensor]] = {}

    def rule(arrival: Arrival) -> None:
        means = arrival.mean_current(slice(None))
        seen[arrival.name] = arrival.current, arrival.activation, arrival.rate(), means

    SpikingPass(plan, spiking.layers, images, steps, rule).fit()
    return spiking, seen


def activations(network: nn.Module, images: Tensor, names: list[str]) -> dict[str, Tensor]:
    """ReLU outputs by hooks."""
    found: dict[str, Tensor] = {}
    modules = dict(network.named_modules())
    handles = [
        modules[name].register_forward_hook(lambda m, i, o, name=name: found.setdefault(name, o.clone()))
        for name in names
    ]
    with torch.no_grad():
        network(images)
    for handle in handles:
        handle.remove()
    return found


def test_the_ann_runs_alongside(network, shown) -> None:
    _, seen = observe(network, shown, 4)
    expected = activations(network, shown, list(seen))
    assert len(seen) == 4
    for name, (_, activation, _, _) in seen.items():
        assert torch.allclose(activation, expected[name], atol=1e-5)


@pytest.mark.parametrize("steps", [1, 5])
def test_rates_are_those_of_an_ordinary_simulation(network, shown, steps: int) -> None:
    spiking, seen = observe(network, shown, steps)
    (readout,) = spiking.simulate(shown, [steps])
    for name, (_, _, rate, _) in seen.items():
        sent = (rate / spiking.thresholds[name] * steps).sum()
        assert readout.activity.spikes[name] == pytest.approx(float(sent), abs=1e-2)


def test_mean_current_is_the_mean_of_the_current(network, shown) -> None:
    for current, _, _, mean in observe(network, shown, 7)[1].values():
        assert torch.allclose(current.mean(0), mean, atol=1e-5)


def test_each_layer_sees_what_the_rule_made_of_those_before(shown) -> None:
    silenced: list[Tensor] = []

    def rule(arrival: Arrival) -> None:
        silenced.append(arrival.current)
        layer = arrival.layer
        arrival.layer = replace(layer, threshold=layer.threshold * 1e9, initial=layer.initial * 0)

    chain = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 3)
    )
    prepared = prepare(chain, shown)
    plan = prepared.plan("opi")
    layers = fitted(prepared, plan).layers
    SpikingPass(plan, layers, shown, 3, rule).fit()
    bias = chain[2].bias.detach()[:, None, None]
    assert torch.allclose(silenced[1], bias.expand_as(silenced[1]), atol=1e-6)


def test_parameters_belong_to_one_layer(shown) -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.shared, self.fork = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
            self.relus = nn.ModuleList(nn.ReLU() for _ in range(5))

        def forward(self, x: Tensor) -> Tensor:
            x = self.relus[0](self.first(x))
            x = self.relus[2](self.shared(self.relus[1](self.shared(x))))
            x = self.fork(x)
            return (self.relus[3](x) + self.relus[4](x - 1)).flatten(1)

    found: dict[str, int] = {}

    def rule(arrival: Arrival) -> None:
        found[arrival.name] = len(arrival.parameters())

    prepared = prepare(Shared(), shown)
    plan = prepared.plan("opi")
    layers = fitted(prepared, plan).layers
    SpikingPass(plan, layers, shown, 3, rule).fit()
    assert list(found.values()) == [2, 0, 0, 0, 0]


@pytest.mark.parametrize(
    "recipe",
    [
        "thbal",
        {"preset": "calib-light", "scale": "maximum"},
        {"preset": "calib-adv", "scale": "maximum", "correction": {"iterations": 3}},
    ],
)
def test_the_ann_is_never_touched_and_batches_do_not_matter(network, calibration, images, recipe) -> None:
    calibration, images = calibration.float(), images.float()
    before = copy.deepcopy(network.state_dict())
    outputs = []
    for size in (40, 7):
        snn = convert(network, recipe, list(calibration.split(size)))
        (readout,) = snn.simulate(images, [4])
        outputs.append(readout.output)
    assert torch.allclose(outputs[0], outputs[1], atol=1e-3)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize("part", [{"scale": "balance"}, {"correction": "layerwise"}])
def test_rates_are_not_compared_where_spikes_mean_something_else(network, calibration, part) -> None:
    neurons = [
        neuron for name in part_names("neuron") if isinstance(neuron := build_part("neuron", name), Neuron)
    ]
    coded = [neuron.name for neuron in neurons if neuron.coding is not RATE]
    assert coded
    for name in coded:
        with pytest.raises(RecipeError, match=r"compares firing rates with activations, neuron"):
            convert(network, {"preset": "custom", "neuron": name, **part}, calibration.float())
