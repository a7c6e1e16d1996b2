"""What every network promises, with random weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks import tasks
from conversion import RecipeError, convert
from conversion.signals.signals import map_structure
from lightning_modules import networks
from lightning_modules.networks import NetworkError

CLASSES, CHANNELS = 7, 3
SIZE = 32  # of the images, in pixels
# The neurons of the first send what a leaky ReLU gives; the second sends any function.
RECIPES = ("spiking-yolo", "tracking")
Options = Mapping[str, Any]


def says_what_it_is(name: str, options: Options | None = None) -> None:
    """It has a summary of one line and a known task, and refuses options that it does not have."""
    summary = networks.describe(name)
    assert summary.strip(), "the summary is empty"
    assert "\n" not in summary, "the summary has more than one line"
    assert networks.task_of(name) in tasks.names(), f"there is no task {networks.task_of(name)!r}"
    networks.choose(name, options or {})
    try:
        networks.choose(name, {"no_such_option": 1})
    except NetworkError:
        return
    raise AssertionError("an unknown option is not refused with a NetworkError")


def treats_images_one_by_one(name: str, options: Options | None = None) -> None:
    """Its outputs are finite, and an image's do not depend on the images beside it (in eval mode)."""
    network = _network(name, options)
    with torch.no_grad():
        together = _tensors(network(_images()))
        alone = [_tensors(network(image[None])) for image in _images()]
    for index, output in enumerate(together):
        assert torch.isfinite(output).all(), f"output {index} is not finite"
        apart = torch.cat([outputs[index] for outputs in alone])
        assert apart.shape == output.shape, f"output {index}: its first axis is not the batch"
        assert torch.allclose(apart, output, rtol=1e-3, atol=1e-4), f"output {index} depends on the batch"


def lives_in_its_weights(name: str, options: Options | None = None) -> None:
    """Another one with the same state dict gives the same outputs."""
    network, torn = _network(name, options), _build(name, options, seed=1)
    torn.load_state_dict(network.state_dict())
    with torch.no_grad():
        pairs = zip(_tensors(network(_images())), _tensors(torn(_images())), strict=True)
        assert all(torch.equal(one, other) for one, other in pairs), "something beside the weights matters"


def can_be_trained(name: str, options: Options | None = None) -> None:
    """Its outputs have gradients for a parameter of its first and of its last layer with weights."""
    network = _build(name, options, seed=0)
    sum(output.square().sum() for output in _tensors(network.train()(_images()))).backward()  # type: ignore[union-attr]
    reached = [parameter.grad is not None for parameter in network.parameters() if parameter.requires_grad]
    assert any(reached), "no parameter has a gradient"


def converts(name: str, options: Options | None = None) -> None:
    """It converts to spikes, and the spiking network gives outputs of the same shapes."""
    network = _network(name, options)
    with torch.no_grad():
        expected = network(_images())
    try:
        snn = convert(network, RECIPES[0], [_images()])
    except RecipeError:
        snn = convert(network, RECIPES[1], [_images()])
    (readout,) = snn.simulate(_images(), (2,))
    nests = [map_structure(lambda tensor: None, Tensor, outputs) for outputs in (readout.output, expected)]
    assert nests[0] == nests[1], "outputs are nested otherwise"
    for one, other in zip(_tensors(readout.output), _tensors(expected), strict=True):
        assert one.shape == other.shape, f"shape {tuple(one.shape)} in place of {tuple(other.shape)}"
        assert torch.isfinite(one).all(), "spiking outputs are not finite"
    assert sum(readout.activity.spikes.values()) > 0, "no neuron has sent a spike"


NETWORK_LAWS = (says_what_it_is, treats_images_one_by_one, lives_in_its_weights, can_be_trained, converts)


def _images() -> Tensor:
    return torch.randn(2, CHANNELS, SIZE, SIZE, generator=torch.Generator().manual_seed(0))


def _build(name: str, options: Options | None, seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return networks.build(name, CLASSES, CHANNELS, options or {}).eval()


def _network(name: str, options: Options | None) -> nn.Module:
    return _kept(name, repr(sorted((options or {}).items())), _Held(dict(options or {})))


@dataclasses.dataclass(frozen=True)
class _Held:
    options: dict[str, Any] = dataclasses.field(hash=False, compare=False)


@lru_cache(maxsize=1)  # the laws of one network follow each other
def _kept(name: str, key: str, held: _Held) -> nn.Module:
    return _build(name, held.options, seed=0)


def _tensors(outputs: Any) -> list[Tensor]:
    found: list[Tensor] = []
    map_structure(found.append, Tensor, outputs)
    return found
