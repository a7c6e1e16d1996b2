"""Who takes part: functions that simulate all images for T steps and return the mean output."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import nullcontext
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.speed.plain_loop import PlainLoop
from benchmarks.speed.work import Work
from conversion import SpikingNetwork, convert
from conversion.simulation.backend import PRECISIONS
from conversion.simulation.choice import REFERENCE, backend_for, use
from lightning_modules.networks.resnet_cifar import ShrinkingShortcut

Contender = Callable[[Tensor, int], Tensor]  # (images, time steps) -> mean output
BASELINE = "SpikingJelly"


def contenders(work: Work) -> dict[str, Contender]:
    """Everyone who can take part on this machine, by name; a `BASELINE` only where it is installed."""
    found: dict[str, Contender] = {}
    backend = backend_for(work.images)
    for precision in PRECISIONS:
        if backend.runs(precision):
            found[f"SpikeMark {precision}"] = _spikemark(work, precision)
    if backend.kernels:
        found["SpikeMark float32, not compiled"] = _spikemark(work, "float32", compiled=False)
    found["plain PyTorch loop"] = _plain_loop(work)
    if find_spec("spikingjelly") is not None:
        found[BASELINE] = spikingjelly(work)
    return found


def _spikemark(work: Work, precision: Any, compiled: bool = True) -> Contender:
    snn = convert(work.network, "percentile", work.calibration)

    def run(images: Tensor, steps: int) -> Tensor:
        with nullcontext() if compiled else use(REFERENCE):
            *_, last = snn.simulate(images, (steps,), precision=precision)
        output: Tensor = last.output
        return output

    return run


def _plain_loop(work: Work) -> Contender:
    snn = convert(work.network, "percentile", work.calibration)
    assert isinstance(snn, SpikingNetwork)
    return PlainLoop(snn)


def spikingjelly(work: Work) -> Contender:
    """SpikingJelly's own converter and single-step inference, as its documentation shows it."""
    from spikingjelly.activation_based import ann2snn, functional
    from spikingjelly.activation_based.ann2snn.recipes import RateCodingRecipe

    batches = [(batch, torch.zeros(len(batch))) for batch in work.calibration.split(16)]
    recipe = RateCodingRecipe(batches, mode="99.9%", fuse_flag=True)
    traceable = _without_functions(copy.deepcopy(work.network))
    snn = ann2snn.Converter(recipe).convert(traceable).eval()

    return _one_step_a_pass(snn, lambda: functional.reset_net(snn))


def _one_step_a_pass(network: Callable[[Tensor], Tensor], reset: Callable[[], None]) -> Contender:
    """Mean output of a network that does one time step in each forward pass."""

    @torch.no_grad()
    def run(images: Tensor, steps: int) -> Tensor:
        reset()
        total = network(images)
        for _ in range(steps - 1):
            total = total + network(images)
        return total / steps

    return run


class _Shortcut(nn.Module):
    """Option A shortcut as a fixed convolution: SpikingJelly's converter refuses slicing and padding."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 1, stride=2, bias=False)
        before = (outputs - inputs) // 2
        with torch.no_grad():
            self.conv.weight.zero_()
            self.conv.weight[before : before + inputs, :, 0, 0] = torch.eye(inputs)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.conv(x)
        return output


def _without_functions(network: nn.Module) -> nn.Module:
    for module in network.modules():
        shortcut = getattr(module, "shortcut", None)
        if isinstance(shortcut, ShrinkingShortcut):
            module.shortcut = _Shortcut(2 * shortcut.padding, 4 * shortcut.padding)
    return network
