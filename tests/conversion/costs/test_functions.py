"""Functions of converted networks as energy models take them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import energy
from conversion import convert
from conversion.costs.energy import network_of
from conversion.graph.kinds import function_name
from conversion.graph.operations import FUNCTIONS, METHODS, MODULES, NEURON_MODULES, Kind
from energy.functions import WORK, plain_name

# Models that charge functions have no figure of networks with these.
UNKNOWN = {"affinegrid", "bilinear", "cdist", "gridsample", "lppool1d", "lppool2d", "sampledat"}


def names_of(kind: Kind) -> set[str]:
    modules = [module.__name__ for module, found in MODULES.items() if found is kind]
    functions = [function_name(function) for function, found in FUNCTIONS.items() if found is kind]
    return {
        plain_name(name) for name in [*modules, *functions, *(m for m, k in METHODS.items() if k is kind)]
    }


def test_what_every_function_takes_is_known() -> None:
    neurons = {plain_name(module.__name__) for module in NEURON_MODULES} - {"trainedactivation"}
    assert names_of(Kind.FUNCTION) | names_of(Kind.NEURON) | neurons <= WORK.keys() | UNKNOWN


class Gated(nn.Module):
    """Spikes times the image and shares of a softmax, in either order."""

    def __init__(self, *, spikes_first: bool) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU())
        self.norm = nn.GroupNorm(2, 4)
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(4 * 36, 3))
        self.spikes_first = spikes_first

    def forward(self, image: Tensor) -> Tensor:
        x = self.features(image)
        x = x * image if self.spikes_first else image * x
        shares = torch.softmax(self.norm(x), dim=1)
        return self.head(x * shares if self.spikes_first else shares * x)


@pytest.fixture(scope="module")
def networks() -> list[energy.Network]:
    torch.manual_seed(0)
    images = torch.rand(4, 4, 6, 6)
    gated = [Gated(spikes_first=first).eval() for first in (True, False)]
    return [network_of(convert(one, "tracking", images).connectivity(images)) for one in gated]


def test_functions_have_their_operation_values_and_inputs(networks: list[energy.Network]) -> None:
    found = networks[0].functions
    assert found is not None
    values = 4 * 36
    assert found == {
        "features.1": energy.Function("torch.nn.ReLU", values, values),
        "mul": energy.Function("operator.mul", values, 2 * values),
        "norm": energy.Function("torch.nn.GroupNorm", values, values),
        "softmax": energy.Function("torch.softmax", values, values),
        "mul#2": energy.Function("operator.mul", values, 2 * values),
    }


def test_the_quantised_ann_evaluates_what_neurons_do_not_do_by_themselves() -> None:
    images = torch.rand(4, 4, 6, 6)
    found = network_of(convert(Gated(spikes_first=True).eval(), "ptq", images).connectivity(images))
    assert found.functions is not None
    assert list(found.functions) == ["mul", "norm", "softmax", "mul#2"]


def test_a_product_costs_the_same_in_either_order(networks: list[energy.Network]) -> None:
    totals = []
    for network in networks:
        layers = {layer.name: layer for layer in network.layers}
        assert [layers[name].macs for name in layers if name.startswith("mul")].count(4 * 36) == 2
        spiking = [layer.name for layer in network.layers if layer.drive == "spikes"]
        run = energy.Run({}, dict.fromkeys(spiking, 20.0), 8, "signed")
        models = [energy.by_name(name) for name in ("operations", "operations-int8")]
        totals.append([sum(p.total for p in m.spiking(network, run).values()) for m in models])
        dense = 4.6 * sum(layer.macs for layer in network.layers)
        assert sum(p.total for p in models[0].ann(network).values()) == pytest.approx(dense)
        # Beside the image there is nothing to multiply: spikes meet its values.
        image = next(
            layer for layer in network.layers if layer.name.startswith("mul") and layer.drive == "analog"
        )
        assert (image.macs, image.weights) == (0, 4 * 36)
        assert models[0].spiking(network, run)[image.name].total == 0
    assert totals[0] == pytest.approx(totals[1])
