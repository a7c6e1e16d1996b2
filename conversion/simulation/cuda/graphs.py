"""CUDA graphs: a chunk's launches recorded once and replayed, so that Python is not in the way.

A graph reads and writes the same memory each time. So it may only hold what keeps its state in place: layers
of neurons and pools in kernels. SPIKEMARK_CUDA_GRAPHS=0 switches recording off.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from conversion.costs.tally import SpikeTally
from conversion.graph.operations import Kind
from conversion.signals.coding import RATE
from conversion.simulation.cuda.available import is_real
from conversion.simulation.cuda.prepared import Prepared

Replay = Callable[[], Any]  # runs what was recorded; its result is in the same memory each time
Recorder = Callable[[Callable[[], Any]], Replay]
SWITCH = "SPIKEMARK_CUDA_GRAPHS"


def recorder_for(prepared: Prepared, images: Tensor, tally: SpikeTally, frugal: bool) -> Recorder | None:
    """What records chunks of these images; None where they have to be launched anew.

    Args:
        prepared: what runs.
        images: a part of a batch.
        tally: counts spikes.
        frugal: a graph would keep memory that the budget does not know.
    """
    on_gpu = images.device.type == "cuda" and is_real(images)
    if frugal or not on_gpu or os.environ.get(SWITCH) == "0" or not is_recordable(prepared, tally):
        return None
    return partial(record, images.device)


def is_recordable(prepared: Prepared, tally: SpikeTally) -> bool:
    """True where every chunk is the same work on the same memory."""
    plan = prepared.fitted.plan
    kinds = {role.kind for role in plan.roles.values()}
    if plan.neuron.coding is not RATE or prepared.fitted.whole_window:
        return False
    if Kind.FUNCTION in kinds or Kind.UNPOOLING in kinds:
        return False
    neurons, pools = plan.nodes_of(Kind.NEURON), plan.nodes_of(Kind.POOLING)
    if any(plan.telescoped(node) is not None for node in neurons):
        return False
    in_kernels = all(node in prepared.layers for node in neurons)
    pooled = all(node in prepared.pools for node in pools)
    return in_kernels and pooled and all(tally.frames(plan.roles[n].name) == 1 for n in (*neurons, *pools))


def record(device: torch.device, run: Callable[[], Any]) -> Replay:
    """Record a function's launches without running them.

    Args:
        device: on which they run.
        run: launches; what it reads and keeps stays where it is.

    Returns:
        What runs them; its result is what the function gave, with new values.
    """
    with torch.cuda.device(device):
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            result = run()

    def replay() -> Any:
        graph.replay()
        return result

    return replay
