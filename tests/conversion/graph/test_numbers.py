"""Activations whose parameters are tensors, weights that are exchanged, and what is refused once."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conversion import CaptureError, UnsupportedOperations, convert
from conversion.functions.elementwise import Elementwise
from conversion.graph.capture import capture
from conversion.graph.operations import Kind
from conversion.graph.roles import sort_into_roles

RECIPE = {"preset": "tracking", "neuron": {"gamma": 15}}


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.Conv2d(3, 4, 1), nn.Linear(4, 3)
        self.one = nn.Parameter(torch.tensor(0.75))
        self.low, self.high = nn.Parameter(-torch.rand(4, 1, 1)), nn.Parameter(torch.rand(4, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.tried(self.layer(x)).mean((2, 3)))


ACTIVATIONS = {
    "clamp": (lambda net, x: torch.clamp(x, torch.tensor(0.0), net.one), None, 0.75),
    "clamp_": (
        lambda net, x: x.clamp_(min=-net.one, max=net.one * 2),
        Elementwise("hardtanh", (-0.75, 1.5)),
        None,
    ),
    "clamp_max": (
        lambda net, x: x.relu().clamp_max(net.one),
        Elementwise("hardtanh", (-math.inf, 0.75)),
        None,
    ),
    "hardtanh": (lambda net, x: F.hardtanh(x, 0, net.one.item()), None, 0.75),
    "elu": (lambda net, x: F.elu(x, net.one.item()), Elementwise("elu", (0.75,)), None),
    "softplus": (
        lambda net, x: F.softplus(x, beta=net.one.abs().item()),
        Elementwise("softplus", (0.75, 20.0)),
        None,
    ),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_a_parameter_that_is_a_tensor_is_its_number(name: str) -> None:
    class Tried(Net):
        def tried(self, x: Tensor) -> Tensor:
            return ACTIVATIONS[name][0](self, x)

    network, images = Tried().eval(), torch.randn(2, 3, 4, 4)
    captured = capture(network, images=images)
    *_, role = [r for r in sort_into_roles(captured, images).values() if r.kind is Kind.NEURON]
    assert (role.function, role.ceiling) == ACTIVATIONS[name][1:]
    torch.testing.assert_close(captured(images), network(images))
    assert convert(network, RECIPE, images).audit.verdict == "spiking"


@pytest.mark.parametrize(
    "form",
    [
        lambda net, x: torch.clamp(x, net.low, net.high),
        lambda net, x: x.clamp(max=net.high, min=net.low),
        lambda net, x: torch.clamp_max(x.clamp_min(net.low), net.high),
        lambda net, x: x.clamp(net.low, torch.tensor(0.5)),
        lambda net, x: x.clamp(max=x.mean((2, 3), keepdim=True)),
    ],
)
def test_bounds_of_each_channel_are_a_maximum_and_a_minimum(form) -> None:
    class Tried(Net):
        def tried(self, x: Tensor) -> Tensor:
            return form(self, x)

    torch.manual_seed(0)
    network, images = Tried().eval().requires_grad_(False), torch.randn(3, 3, 4, 4)
    snn, ann = convert(network, RECIPE, images), network(images)
    distance = {r.t: float((r.output - ann).norm() / ann.norm()) for r in snn.simulate(images, (1, 64))}
    assert distance[64] < max(distance[1] / 10, 1e-5)


def test_a_quantiser_of_training_is_a_function() -> None:
    class Tried(Net):
        def tried(self, x: Tensor) -> Tensor:
            x = torch.fake_quantize_per_tensor_affine(x, 0.05, 0, -128, 127)
            scales, zeros = torch.full((4,), 0.1), torch.zeros(4, dtype=torch.int32)
            return F.relu(
                self.head.weight.sum() + torch.fake_quantize_per_channel_affine(x, scales, zeros, 1, -8, 7)
            )

    torch.manual_seed(0)
    network, images = Tried().eval().requires_grad_(False), torch.randn(3, 3, 4, 4)
    snn, ann = convert(network, RECIPE, images), network(images)
    (last,) = snn.simulate(images, 256)
    assert float((last.output - ann).norm() / ann.norm()) < 0.02
    assert snn.audit.verdict == "with analog reductions"


def test_weights_that_the_code_exchanges_are_those_of_the_network() -> None:
    class Tried(Net):
        def tried(self, x: Tensor) -> Tensor:
            halves = {name: value * 0.5 for name, value in self.again.named_parameters()}
            return F.relu(torch.func.functional_call(self.again, halves, (F.relu(self.again(x)),)))

    torch.manual_seed(0)
    network, images = Tried(), torch.randn(3, 3, 4, 4)
    network.again = nn.Conv2d(4, 4, 1)
    network.eval().requires_grad_(False)
    before = network.again.weight
    snn, ann = convert(network, RECIPE, images), network(images)
    distance = {r.t: float((r.output - ann).norm() / ann.norm()) for r in snn.simulate(images, (1, 64))}
    assert distance[64] < 0.005
    assert network.again.weight is before


def test_what_is_random_is_told_once_with_the_way_out() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.FractionalMaxPool2d(2, 2), nn.Flatten(), nn.Linear(16, 2))
    with pytest.raises(UnsupportedOperations, match="drawn at random") as caught:
        convert(network.eval(), RECIPE, torch.randn(3, 3, 4, 4))
    assert [one.operation for one in caught.value.operations] == ["torch.nn.FractionalMaxPool2d"]


def test_vmap_is_refused_by_name() -> None:
    class Tried(Net):
        def tried(self, x: Tensor) -> Tensor:
            return torch.vmap(torch.relu)(x)

    with pytest.raises(
        CaptureError, match="vmap runs its function on tensors of its own; write it for the whole"
    ):
        convert(Tried().eval(), RECIPE, torch.randn(3, 3, 4, 4))
