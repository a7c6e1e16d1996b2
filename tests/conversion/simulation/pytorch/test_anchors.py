"""Outputs as detectors have them: a dictionary with anchors that are the same for every image."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conversion import convert
from conversion.errors import MemoryBudgetError
from conversion.simulation.choice import BACKENDS
from conversion.simulation.run import Simulation


class Detector(nn.Module):
    """Scores and boxes of a batch; anchors of one image, anchors of every image, and a scale for all."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 16, 3, 1, 1), nn.ReLU()
        )
        self.scores, self.boxes = nn.Conv2d(16, 2, 1), nn.Conv2d(16, 4, 1)
        self.register_buffer("sizes", torch.rand(5, 4))
        self.stride = nn.Parameter(torch.tensor(8.0))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        features = self.features(x)
        return {
            "scores": self.scores(features).flatten(2),
            "boxes": self.boxes(features).flatten(2),
            "anchors": self.sizes * 2,
            "anchors of each": torch.zeros_like(features[:, :4, :2, 0]) + F.relu(self.sizes[:2].T),
            "stride": self.stride,
        }


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("images", [1, 5, 6])
def test_anchors_survive_a_memory_budget(
    compiled: bool, images: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("conversion.simulation.choice.BACKENDS", BACKENDS if compiled else BACKENDS[-1:])
    network, batch = Detector().eval(), torch.randn(images, 3, 16, 16)
    snn = convert(network, "burst", torch.randn(4, 3, 16, 16))
    whole = list(snn.simulate(batch, (1, 4)))
    snn.memory_mib = 0.001
    with pytest.raises(MemoryBudgetError) as refusal:
        list(snn.simulate(batch, 4))
    least = float(str(refusal.value).split("memory_mib to at least ")[1].split(",")[0])
    cuts: list[int] = []
    original = Simulation._together
    monkeypatch.setattr(
        Simulation,
        "_together",
        lambda self, group, *args: cuts.append(len(group)) or original(self, group, *args),
    )
    snn.memory_mib = least
    cut = list(snn.simulate(batch, (1, 4)))
    assert sum(cuts) == images
    assert len(cuts) > 1 or images == 1
    truth = network(batch)
    for ours, theirs in zip(cut, whole, strict=True):
        assert list(ours.output) == list(truth)
        assert ours.activity == theirs.activity
        for name in truth:
            assert ours.output[name].shape == truth[name].shape
            torch.testing.assert_close(ours.output[name], theirs.output[name], rtol=1e-4, atol=1e-5)
        for name in ("anchors", "anchors of each", "stride"):
            torch.testing.assert_close(ours.output[name], truth[name])
