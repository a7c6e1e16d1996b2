"""Which inputs of an ANN are not zero: what an accelerator that skips zeros has left to do.

    with ActiveInputs(network) as active:
        for images in batches:
            active.begin()
            network(images)
    active.counts()

Counted at the layers themselves while they run, in the ANN and in the quantised ANN alike. An input that
is not zero meets as many weights as a spike at its place would, so borders, strides and groups are exact:
MACs with padding, or with a weight that is 0, are in the dense count and not in this one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from conversion.costs.fanout import layer_of_module, products
from conversion.costs.waiting import numbers

_COUNTED = (
    nn.Linear,
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)


@dataclass(frozen=True)
class Active:
    """What is not zero at the input of one layer."""

    macs: float  # multiply-accumulates with such an input
    inputs: float


class ActiveInputs:
    """Counts inputs that are not zero in every layer with weights of a network, call by call.

    A layer is named by its module's path, at its second use in a pass with "#2" behind it, as roles are.
    Layers that are no modules are not counted.

    Args:
        network: the layers are looked for in it.
        reach: (path, shape of an input) -> weights that each input meets; counted here where it is not
            known, and added, so that several counts may share it.
    """

    def __init__(self, network: nn.Module, reach: dict[tuple[str, torch.Size], Tensor] | None = None) -> None:
        self._modules = {name: m for name, m in network.named_modules() if isinstance(m, _COUNTED)}
        self._handles: list[Any] = []
        self._calls: dict[str, int] = {}
        self._reach = {} if reach is None else reach
        self._found: dict[str, tuple[Tensor, Tensor]] = {}  # MACs and inputs, where the network is

    def __enter__(self) -> Self:
        for name, module in self._modules.items():
            self._handles.append(module.register_forward_pre_hook(self._hook(name)))
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def begin(self) -> None:
        """Begin a new pass through the network."""
        self._calls = {}

    def counts(self) -> Mapping[str, Active]:
        """Layer -> counts, summed over all images so far."""
        return numbers(self._found, lambda found: Active(float(found[0]), float(found[1])))

    def _hook(self, name: str) -> Any:
        def count(module: nn.Module, args: tuple[Any, ...]) -> None:
            if not args or not isinstance(args[0], Tensor):
                return
            self._calls[name] = self._calls.get(name, 0) + 1
            used = self._calls[name]
            self._count(name, name if used == 1 else f"{name}#{used}", module, args)

        return count

    @torch.no_grad()
    def _count(self, path: str, name: str, module: nn.Module, args: tuple[Any, ...]) -> None:
        values: Tensor = args[0]
        active = _nonzero(values)
        key = (path, values.shape[1:])
        if key not in self._reach:
            self._reach[key] = _reach(module, args, values)
        macs, inputs = (active * self._reach[key]).sum(), active.sum()
        if name in self._found:
            macs, inputs = macs + self._found[name][0], inputs + self._found[name][1]
        self._found[name] = macs, inputs


def _nonzero(values: Tensor) -> Tensor:
    """How many images [B, C, ...] have a value that is not 0, float64 [C, ...].

    On CPUs, adding image after image takes a fifth of the time of a sum over the batch.
    """
    if values.device.type != "cpu" or not len(values):
        return (values != 0).sum(0, dtype=torch.float64)
    active = torch.zeros_like(values[0], dtype=torch.int32)
    for image in values:
        active += image != 0
    return active.double()


def _reach(module: nn.Module, args: tuple[Any, ...], values: Tensor) -> Tensor:
    """Weights that are not 0 and that each input of one image meets, float64 [C, ...] or [1, ...]."""
    with torch.inference_mode(False), torch.enable_grad():
        layer = layer_of_module(module, args, {})
        probe = torch.zeros((1, *values.shape[1:]), dtype=torch.float64, device=values.device)
        (reach,) = torch.autograd.grad(products(layer, probe.requires_grad_()), probe)
    return reach[0, :1].clone() if bool((reach == reach[:, :1]).all()) else reach[0]
