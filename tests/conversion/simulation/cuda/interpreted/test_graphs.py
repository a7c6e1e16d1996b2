"""Chunks that are recorded and replayed, with a stand-in for CUDA graphs that runs them again.

A graph reads and writes the same memory each time: what a chunk keeps has to stay where it is.
"""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from conversion import convert
from conversion.costs.tally import SpikeTally
from conversion.simulation.choice import use
from conversion.simulation.cuda.chunks import FIRST, Chunks
from conversion.simulation.cuda.graphs import is_recordable, recorder_for
from conversion.simulation.cuda.prepared import Prepared

STEPS = 6


class Net(nn.Module):
    """A pool and a residual sum; for [B, 2, 4, 4]."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
        self.head = nn.Linear(12, 3)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.first(x)), 2)
        return self.head(F.relu(self.second(x) + x).flatten(1))


@pytest.fixture
def images():
    return torch.randint(-4, 8, (2, 2, 4, 4)) / 8


def converted(recipe, images):
    network = Net().eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randint(-4, 8, parameter.shape) / 16)
    snn = convert(network, recipe, images)
    for threshold in getattr(snn, "thresholds", {}).values():
        threshold.fill_(0.5)
    return snn


def places(chunks):
    """Where everything is that a part keeps from chunk to chunk."""
    runner = chunks._walk._runner
    kept = [tensor for population in runner._populations.values() for tensor in population.states]
    kept += [population.done for population in runner._populations.values()]
    kept += [tensor for state in runner._pools.values() for tensor in state.values()]
    kept += [*runner._tally.maps.values(), *(signal.data for signal in chunks._progress.constant.values())]
    return [tensor.data_ptr() for tensor in kept]


@pytest.mark.parametrize("recipe", ["opi", {"preset": "spicalib", "neuron": {"allowance": 1}}], ids=str)
def test_replays_go_on_where_launches_stopped(recipe, images, monkeypatch):
    snn = converted(recipe, images)
    with use("pytorch"):
        (theirs,) = snn.simulate(images, STEPS)
    recorded, made = [], []

    def stand_in(run):
        recorded.append(places(made[0]))

        def replay():
            result = run()
            recorded.append(places(made[0]))
            return result

        return replay

    def chunks(walk, progress, recorder):
        made.append(Chunks(walk, progress, stand_in))
        return made[-1]

    monkeypatch.setattr("conversion.simulation.cuda.backend.Chunks", chunks)
    with use("triton"):
        (ours,) = snn.simulate(images, STEPS, chunk=1)
    assert len(recorded) == 1 + STEPS - FIRST
    assert len(recorded[0]) >= 6
    assert all(found == recorded[0] for found in recorded)
    assert ours.activity.spikes == theirs.activity.spikes
    torch.testing.assert_close(ours.output, theirs.output)


def test_what_cannot_be_recorded_is_launched(images, monkeypatch):
    snn = converted("opi", images)
    with use("pytorch"):
        (theirs,) = snn.simulate(images, STEPS)

    def refuses(run):
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(
        "conversion.simulation.cuda.backend.Chunks", lambda walk, progress, _: Chunks(walk, progress, refuses)
    )
    with use("triton"), pytest.warns(RuntimeWarning, match=r"one by one; SPIKEMARK_CUDA_GRAPHS=0.*capturing"):
        (ours,) = snn.simulate(images, STEPS, chunk=1)
    assert ours.activity.spikes == theirs.activity.spikes


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [("opi", True), ("spicalib", True), ("hmt", True), ("dcgs", False), ("tracking", False), ("msat", False)],
)
def test_only_what_keeps_its_state_in_place_is_recorded(recipe, expected, images):
    snn = converted(recipe, images)
    prepared, tally = Prepared(snn.fitted, "float32"), SpikeTally({})
    assert is_recordable(prepared, tally) is expected
    assert recorder_for(prepared, images, tally, frugal=False) is None  # there is no GPU here
