"""Does every recipe send on the GPU what it sends on the CPU?"""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.gpu.networks import Probe
from conversion import convert, recipe_from, recipe_names
from conversion.graph.activations import QCFS
from conversion.simulation.choice import REFERENCE, use

STEPS = (2, 8)
PLACED_BY_HAND = (0.5, 2.0, 1.0)  # thresholds that are short binary fractions, too
TOLERATED = (
    0.01  # of spikes and outputs, where a fit leaves numbers of many digits, which add up in any order
)


def images(count: int) -> Tensor:
    """Images [B, 3, 8, 8] of short binary fractions."""
    generator = torch.Generator().manual_seed(1)
    return torch.randint(-4, 8, (count, 3, 8, 8), generator=generator) / 8


def compare(name: str, count: int, device: torch.device, backend: str) -> dict[str, Any]:
    """Simulate one recipe on the CPU in PyTorch, and on the device.

    Returns:
        "recipe"; "spikes" of the last read-out on the CPU; "differs", how many more or fewer the device
        sends, summed over layers and read-outs; "verdict": equal, close, differs, or what went wrong.
    """
    recipe = recipe_from(name)
    network = Probe((lambda: QCFS(4, 0.8)) if recipe.retrains else nn.ReLU).eval()
    spec: dict[str, Any] = {"preset": name}
    if hasattr(recipe.correction, "iterations"):
        spec["correction"] = {"iterations": 2}
    x = images(count)
    snn = convert(network, spec, images(8), time_steps=STEPS)
    for t in STEPS:
        thresholds = getattr(snn.at(t), "thresholds", {})
        for index, threshold in enumerate(thresholds.values()):
            threshold.fill_(PLACED_BY_HAND[index % len(PLACED_BY_HAND)])
    with use(REFERENCE):
        expected = list(snn.simulate(x, STEPS))
    snn.to(device)
    with use(backend):
        found = list(snn.simulate(x.to(device), STEPS))
    spikes = differs = 0.0
    off = 0.0
    for ours, theirs in zip(found, expected, strict=True):
        spikes = sum(theirs.activity.spikes.values())
        differs += sum(
            abs(ours.activity.spikes[layer] - sent) for layer, sent in theirs.activity.spikes.items()
        )
        size = theirs.output.abs().max().item() or 1.0
        off = max(off, (ours.output.cpu() - theirs.output).abs().max().item() / size)
    near = differs <= TOLERATED * spikes and off <= 10 * TOLERATED
    verdict = "equal" if not differs and off < 1e-4 else "close" if near else "differs"
    kernels = dict(found[-1].ran.layers)
    return {"recipe": name, "spikes": spikes, "differs": differs, "verdict": verdict, "kernels": kernels}


def compare_all(
    names: Sequence[str], count: int, device: torch.device, backend: str, deadline: float
) -> list[dict[str, Any]]:
    """Compare recipes until a moment of `time.monotonic`; those that are left out say so."""
    rows: list[dict[str, Any]] = []
    for name in names or recipe_names():
        if time.monotonic() > deadline:
            rows.append({"recipe": name, "verdict": "left out: no time"})
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                rows.append(compare(name, count, device, backend))
        except Exception as error:  # one recipe must not take the others' results along
            rows.append({"recipe": name, "verdict": f"failed: {type(error).__name__}: {error}"})
    return rows
