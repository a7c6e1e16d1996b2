"""A neuron that is derived from one of ours does in every step what it says, whatever runs it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor, nn

from conversion import convert, recipe_from
from conversion.neurons import Burst, DelaySpike, IntegrateAndFire, Parallel, Signed
from conversion.neurons.base import Neuron, State

OURS = [IntegrateAndFire(), Burst(), Signed(), DelaySpike(), Parallel()]


def silenced(neuron: Neuron) -> Neuron:
    """The same neuron as a class of its own, whose step sends nothing."""

    def step(self: Neuron, current: Tensor, state: State) -> tuple[Tensor, State]:
        return torch.zeros_like(current), state

    def scan(self: Neuron, current: Tensor, steps: int, state: State) -> tuple[Tensor, State]:
        return torch.zeros((steps, *current.shape[1:])), state

    own = {"step": step}
    if "scan" in vars(type(neuron)) and type(neuron).step is Neuron.step:
        own["scan"] = scan
    derived = dataclass(frozen=True)(type("Silenced", (type(neuron),), own))
    return derived()


@pytest.mark.parametrize("native", ["true", "false"])
@pytest.mark.parametrize("neuron", OURS, ids=lambda neuron: neuron.name)
def test_its_own_step_is_what_runs(neuron: Neuron, native: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from conversion.simulation.compiled import native as kernels

    monkeypatch.setenv("SPIKEMARK_NATIVE", native)
    kernels.kernel.cache_clear()
    torch.manual_seed(0)
    ann = nn.Sequential(nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 36, 3))
    images = torch.rand(4, 1, 8, 8)
    recipe = replace(recipe_from("opi"), neuron=silenced(neuron))
    *_, last = convert(ann, recipe, images).simulate(images, 4)
    kernels.kernel.cache_clear()
    torch.testing.assert_close(last.output, ann[3].bias.detach().expand(4, 3))
