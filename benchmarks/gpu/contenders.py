"""Who is measured: our backends, the plain loop, and SpikingJelly's neurons where they are installed."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from conversion import SpikingNetwork, convert
from conversion.graph.capture import capture
from conversion.simulation.choice import REFERENCE, use

Contender = Callable[[Tensor, int], Tensor]  # (images, time steps) -> mean output
PLAIN = "plain loop, float32"
RECIPE = "opi"
CHUNK = 16
_THEIRS = {"torch": "torch", "cupy": "cupy", "triton": "triton"}  # SpikingJelly's backend -> package it needs


def contenders(network: nn.Module, calibration: Tensor, backend: str) -> dict[str, Contender]:
    """Everyone who can take part on this machine, by name.

    Args:
        network: in eval mode, on the device.
        calibration: images [B, C, H, W] there.
        backend: our backend for this device, by name.
    """
    snn = convert(copy.deepcopy(network).cpu(), RECIPE, calibration.cpu()).to(calibration.device)
    assert isinstance(snn, SpikingNetwork)
    thresholds = [threshold.flatten()[0].item() for threshold in snn.thresholds.values()]

    def ours(precision: Any, name: str) -> Contender:
        def run(images: Tensor, steps: int) -> Tensor:
            with use(name):
                *_, last = snn.simulate(images, (steps,), CHUNK, precision)
            output: Tensor = last.output
            return output

        return run

    found = {
        f"SpikeMark {backend}, {precision}": ours(precision, backend)
        for precision in ("float32", "float16", "bfloat16")
    }
    found["SpikeMark pytorch, float32"] = ours("float32", REFERENCE)
    for dtype in (torch.float32, torch.float16):
        found[f"plain loop, {str(dtype).removeprefix('torch.')}"] = _plain(network, thresholds, dtype)
    if find_spec("spikingjelly") is not None:
        for kind, package in _THEIRS.items():
            if find_spec(package) is not None:
                found[f"SpikingJelly {kind}, float16"] = _when_called(
                    partial(_spikingjelly, network, thresholds, kind)
                )
    return found


def _when_called(make: Callable[[], Contender]) -> Contender:
    """A contender that is made in its first run, so that one that cannot be made fails alone."""
    made: list[Contender] = []

    def run(images: Tensor, steps: int) -> Tensor:
        if not made:
            made.append(make())
        return made[0](images, steps)

    return run


class Neuron(nn.Module):
    """Integrate-and-fire with soft reset, one step a call; the membrane is float32 in any precision."""

    def __init__(self, threshold: float) -> None:
        super().__init__()
        self.threshold = threshold
        self.v: Tensor | float = threshold / 2

    def reset(self) -> None:
        """To the membrane before the first step."""
        self.v = self.threshold / 2

    def forward(self, x: Tensor) -> Tensor:
        """Currents [B, ...] to spikes times threshold."""
        v = self.v + x.float()
        spikes = (v >= self.threshold) * self.threshold
        self.v = v - spikes
        return spikes.to(x.dtype)


def with_neurons(network: nn.Module, made: list[nn.Module]) -> nn.Module:
    """A copy with batch norms folded, channels last, and its ReLUs replaced, one after the other."""
    captured: Any = capture(network)
    neurons = iter(made)
    for node in captured.graph.nodes:
        if node.op == "call_module" and isinstance(captured.get_submodule(str(node.target)), nn.ReLU):
            name = str(node.target).replace(".", "_") + "_neuron"
            captured.add_module(name, next(neurons))
            node.target = name
    captured.recompile()
    result: nn.Module = captured.to(memory_format=torch.channels_last)
    return result


def _plain(network: nn.Module, thresholds: list[float], dtype: torch.dtype) -> Contender:
    """The loop that everybody writes: one forward pass a time step."""
    neurons = [Neuron(threshold) for threshold in thresholds]
    loop: Any = with_neurons(network, list(neurons)).to(dtype)

    @torch.no_grad()
    def run(images: Tensor, steps: int) -> Tensor:
        for neuron in neurons:
            neuron.reset()
        shown = images.to(dtype).contiguous(memory_format=torch.channels_last)
        total: Tensor = loop(shown).float()
        for _ in range(steps - 1):
            total = total + loop(shown).float()
        return total / steps

    return run


class MultiStep(nn.Module):
    """A multi-step neuron of SpikingJelly between layers that have time folded into the batch axis."""

    def __init__(self, neuron: nn.Module, threshold: float) -> None:
        super().__init__()
        self.neuron = neuron
        self.threshold = threshold
        self.steps = 1

    def forward(self, x: Tensor) -> Tensor:
        """Currents [T * B, ...] to spikes times threshold, as its converter scales them."""
        spikes: Tensor = self.neuron((x / self.threshold).unflatten(0, (self.steps, -1)))
        return spikes.flatten(0, 1) * self.threshold


def _spikingjelly(network: nn.Module, thresholds: list[float], kind: str) -> Contender:
    """Its multi-step IF neuron with one of its backends, CHUNK steps at a time, in float16."""
    from spikingjelly.activation_based import functional, neuron

    made = [
        MultiStep(neuron.IFNode(v_threshold=1.0, v_reset=None, step_mode="m", backend=kind), threshold)
        for threshold in thresholds
    ]
    loop: Any = with_neurons(network, list(made)).to(torch.float16)

    @torch.no_grad()
    def run(images: Tensor, steps: int) -> Tensor:
        functional.reset_net(loop)
        total: Tensor | float = 0.0
        done = 0
        while done < steps:
            chunk = min(CHUNK, steps - done)
            for one in made:
                one.steps = chunk
            shown = images.half().repeat(chunk, 1, 1, 1).contiguous(memory_format=torch.channels_last)
            output: Tensor = loop(shown)
            total = total + output.unflatten(0, (chunk, -1)).float().sum(0)
            done += chunk
        assert isinstance(total, Tensor)
        return total / steps

    return run
