"""Values of single spikes, where operations change the axes of what carries them."""

import pytest
import torch
from torch import Tensor, nn

from conversion import convert


class Flat(nn.Module):
    """Spikes of a volume, pooled along one axis and counted there."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first, self.relu, self.pool = nn.Conv3d(1, channels, 1), nn.ReLU(), nn.MaxPool1d(2)
        self.last = nn.Conv1d(channels, 2, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        pooled = self.pool(self.relu(self.first(x)).flatten(2))
        return pooled, self.last(pooled)


@pytest.mark.parametrize("channels", [3, 16])
def test_pools_after_axes_are_joined_count_their_spikes(channels: int) -> None:
    images = torch.randn(5, 1, 2, 3, 2)
    snn = convert(Flat(channels).eval(), "burst", images)
    (readout,) = snn.simulate(images, (7,), chunk=3)
    sent = (readout.output[0] * 7 / snn.thresholds["relu"].flatten()).round()
    assert readout.activity.spikes["pool"] == sent.sum() > 0
    reached = 2 * torch.tensor([1, 2, 3, 3, 2, 1])
    assert readout.activity.synops["last"] == (sent * reached).sum()


class Frames(nn.Module):
    """Spikes of frames in the batch axis beside those of other axes."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.relu, self.second, self.again = (
            nn.Linear(4, 4),
            nn.ReLU(),
            nn.Linear(4, 4),
            nn.ReLU(),
        )
        self.head = nn.Conv1d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        clip = self.relu(self.first(x))  # [B, 3, 4]
        frames = self.again(self.second(clip.reshape(-1, 4)))  # [B * 3, 4]
        return self.head(torch.cat([clip, frames.view(-1, 3, 4)], 1).transpose(1, 2)[:, :, :3])


def test_spikes_with_other_axes_are_put_side_by_side() -> None:
    images = torch.randn(5, 3, 4)
    network = Frames().eval()
    snn = convert(network, "burst", images)
    *_, last = snn.simulate(images, (4096,))
    torch.testing.assert_close(last.output, network(images).detach(), rtol=0.02, atol=0.02)


class Marked(nn.Module):
    """Parts of spikes in another order, with a number in a row of them, pooled."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.first, self.relu, self.pool, self.value = nn.Conv2d(1, 4, 1), nn.ReLU(), nn.MaxPool2d(2), value
        self.last = nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = torch.cat(self.relu(self.first(x)).chunk(2, 1)[::-1], 1).clone()
        x[:, :, :2] = self.value
        pooled = self.pool(x)
        return pooled, self.last(pooled)


@pytest.mark.parametrize("value", [0.0, 0.37])
def test_a_number_among_spikes_is_none(value: float) -> None:
    images = torch.randn(5, 1, 4, 4)
    snn = convert(Marked(value).eval(), "opi", images)
    one, two = snn.simulate(images, (1, 2))
    marked = one.activity.spikes["pool"]  # in each step, one of each value that is no spike
    steps = [one.output[0], two.output[0] * 2 - one.output[0]]
    if value:
        assert marked == (steps[0] != 0).sum()
        assert two.activity.spikes["pool"] == sum((step != 0).sum() for step in steps)
    else:
        sent = (two.output[0] * 2 / snn.thresholds["relu"].flatten()[0]).round()
        assert two.activity.spikes["pool"] == sent.sum() > 0
