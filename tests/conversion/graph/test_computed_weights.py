"""Weights that are computed in every forward pass, by hooks or in a forward of one's own."""

import warnings
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn import utils
from torch.nn.utils import prune

from conversion import convert
from conversion.graph.computed_weights import copied

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


class Standardised(nn.Conv2d):
    """Weight standardisation: a forward of its own."""

    def forward(self, x: Tensor) -> Tensor:
        mean = self.weight.mean((1, 2, 3), keepdim=True)
        centred = self.weight - mean
        weight = centred / (centred.flatten(1).std(1).view(-1, 1, 1, 1) + 1e-5)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


def half_pruned(module: nn.Module) -> nn.Module:
    return prune.l1_unstructured(module, "weight", amount=0.5)


WRAPS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "weight norm": utils.weight_norm,
    "spectral norm": utils.spectral_norm,
    "weight norm as parametrisation": utils.parametrizations.weight_norm,
    "pruned": half_pruned,
}


def network_of(wrap: Callable[[nn.Module], nn.Module]) -> nn.Module:
    layers = [wrap(nn.Conv2d(2, 16, 3)), nn.BatchNorm2d(16), nn.ReLU(), wrap(nn.Conv2d(16, 16, 3)), nn.ReLU()]
    network = nn.Sequential(*layers, nn.Flatten(), wrap(nn.Linear(64, 4)))
    optimiser = torch.optim.SGD(network.parameters(), 0.1)
    for _ in range(3):  # batch norms and power iterations leave their first state
        optimiser.zero_grad()
        network(torch.randn(8, 2, 6, 6)).square().mean().backward()
        optimiser.step()
    return network.eval()


@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)
def test_convert_to_what_the_network_computes(wrap) -> None:
    network, images = network_of(wrap), torch.randn(8, 2, 6, 6)
    before = [type(hook) for module in network.modules() for hook in module._forward_pre_hooks.values()]
    snn = convert(network, {"preset": "maxnorm", "initial": "zero"}, images)
    *_, last = snn.simulate(images, (1024,))
    expected = network(images).detach()
    assert (last.output - expected).abs().max() < 0.02 * expected.abs().max()
    after = [type(hook) for module in network.modules() for hook in module._forward_pre_hooks.values()]
    assert before == after  # of the network itself


def test_pruned_weights_are_no_synapses_while_the_hook_is_there() -> None:
    network, images = network_of(half_pruned), torch.randn(8, 2, 6, 6)
    wiring = convert(network, "maxnorm", images).connectivity(images)
    used = int((network[3].weight != 0).sum())
    assert wiring.reached(wiring.layers[1], "2").sum() == used * 4  # four positions of output
    assert wiring.layers[1].macs == 16 * 16 * 9 * 4


def test_a_convolution_with_a_forward_of_its_own() -> None:
    first, second = Standardised(2, 8, 3), Standardised(8, 4, 3, padding=1, groups=2)
    network = nn.Sequential(first, nn.ReLU(), second).eval()
    images = torch.randn(4, 2, 6, 6)
    snn = convert(network, "maxnorm", images)
    *_, last = snn.simulate(images, (1024,))
    expected = network(images).detach()
    assert (last.output - expected).abs().max() < 0.02 * expected.abs().max()
    plain = nn.Sequential(nn.Conv2d(2, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3, padding=1, groups=2)).eval()
    ours, theirs = snn.connectivity(images), convert(plain, "maxnorm", images).connectivity(images)
    assert [layer.macs for layer in ours.layers] == [layer.macs for layer in theirs.layers]
    assert torch.equal(ours.reached(ours.layers[1], "1"), theirs.reached(theirs.layers[1], "1"))


def test_a_copy_has_plain_parameters() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = utils.weight_norm(nn.Linear(3, 2))
        twin = copied(network)
    assert sorted(name for name, _ in twin.named_parameters()) == ["bias", "weight"]
    assert not twin._forward_pre_hooks
    assert torch.equal(twin.weight, network.weight)
    assert sorted(name for name, _ in network.named_parameters()) == ["bias", "weight_g", "weight_v"]


@pytest.mark.parametrize("channels", [2, 3])
def test_a_batch_norm_after_a_linear_layer_on_the_last_axis_is_not_folded(channels: int) -> None:
    """Features are its last axis, channels of the norm the second; both may be as large."""
    norm = nn.BatchNorm1d(channels)
    norm.running_mean, norm.running_var = torch.randn(channels), torch.rand(channels) + 0.5
    network = nn.Sequential(nn.Conv1d(1, channels, 1), nn.ReLU(), nn.Linear(4, 2), norm, nn.ReLU()).eval()
    images = torch.randn(4, 1, 4)
    snn = convert(network, "maxnorm", images)
    *_, last = snn.simulate(images, (1024,))
    expected = network(images).detach()
    assert (last.output - expected).abs().max() < 0.02 * expected.abs().max()
