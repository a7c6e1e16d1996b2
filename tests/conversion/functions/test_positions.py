"""Places of values that only fetch values: functions of signals, exact in floating point."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conversion import UnsupportedOperations, convert, load
from conversion.functions import positions
from conversion.functions.telescope import Telescope
from conversion.signals.signals import fold

RECIPE = {"preset": "tracking", "neuron": {"gamma": 15}}


class OnTokens(nn.Module):
    """Nine tokens of six values."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 2, 2), nn.ReLU())
        self.one, self.two, self.head = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 4)
        self.codes = nn.Embedding(5, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.read(self.stem(x).flatten(2).transpose(1, 2))).mean(1)


class Pruned(OnTokens):
    """The best tokens go on, in the order of their scores."""

    def read(self, x: Tensor) -> Tensor:
        best = self.one(x).mean(-1).sort(dim=1, descending=True)[1][:, :4]
        return F.relu(self.two(torch.gather(x, 1, best[..., None].expand(-1, -1, 6))))


class PrunedByRows(OnTokens):
    """The same by the number of each image; the scores weigh what goes on."""

    def read(self, x: Tensor) -> Tensor:
        scores, best = torch.topk(self.one(x).mean(-1), 4, 1)
        images = torch.arange(x.size(0), device=x.device)[:, None]
        return F.relu(self.two(x[images, best])) * scores.sigmoid().unsqueeze(-1)


class Quantised(OnTokens):
    """VQ: each token as the nearest of five codes."""

    def read(self, x: Tensor) -> Tensor:
        x = self.one(x)
        far = (x**2).sum(-1, keepdim=True) + (self.codes.weight**2).sum(1) - 2 * x @ self.codes.weight.t()
        found = self.codes(torch.argmin(far, dim=-1))
        return self.two(x + (found - x).detach())


class Experts(OnTokens):
    """Two of three experts for each token, by a table of zeros and ones."""

    def read(self, x: Tensor) -> Tensor:
        shares, chosen = self.one(x)[..., :3].softmax(-1).topk(2, -1)
        weights = (F.one_hot(chosen, 3).float() * shares.unsqueeze(-1)).sum(2)
        return sum(weights[..., i : i + 1] * F.relu(self.two(x) + i) for i in range(3))


class Sparse(OnTokens):
    """The largest scores of attention alone."""

    def read(self, x: Tensor) -> Tensor:
        scores = self.one(x) @ self.two(x).transpose(1, 2)
        _, best = scores.topk(4, dim=-1)
        return torch.softmax(scores, -1) * torch.zeros_like(scores).scatter(-1, best, 1.0) @ x


class Pixels(OnTokens):
    """Row and column of the largest value."""

    def read(self, x: Tensor) -> Tensor:
        place = x.argmax(dim=1)
        return torch.stack(((place % 3).to(x.dtype), place // 3 / 3), 1)


class Ordered(OnTokens):
    """Values in the order of others."""

    def read(self, x: Tensor) -> Tensor:
        order = self.one(x).argsort(dim=1, descending=True)
        return self.two(torch.take_along_dim(x, order, dim=1)[:, :4])


@pytest.mark.parametrize("kind", [Pruned, PrunedByRows, Quantised, Experts, Sparse, Pixels, Ordered])
def test_it_converts_counted_one_by_one_and_is_kept(
    kind: Callable[[], OnTokens], tmp_path: Path, monkeypatch, one_by_one, unit_by_unit
) -> None:
    torch.manual_seed(2)  # with it no two values of which one is chosen are close
    network, images = kind().eval().requires_grad_(False), torch.randn(3, 3, 6, 6)
    snn, ann = convert(network, RECIPE, images), network(images)
    distance = {r.t: float((r.output - ann).norm() / ann.norm()) for r in snn.simulate(images, (1, 256))}
    assert distance[256] < 0.01
    assert distance[256] < distance[1] / 3 + 1e-6
    assert snn.audit.verdict == "with analog reductions"
    alone = next(snn.simulate(images[1:2], 8)).output
    torch.testing.assert_close(alone, next(snn.simulate(images, 8, chunk=3)).output[1:2])
    found, readout = one_by_one.counted(snn, images, 2, monkeypatch)
    for layer, number in found.items():
        assert readout.activity.synops[layer] == pytest.approx(number), layer
    tried, differing = unit_by_unit.differing(snn, images[:1])
    assert tried
    assert not differing
    snn.save(tmp_path / "kept.pt")
    (ours,), (theirs,) = (one.simulate(images, 3) for one in (snn, load(tmp_path / "kept.pt")))
    assert torch.equal(ours.output, theirs.output)


def test_the_mean_of_places_that_were_sent_is_the_place_in_the_mean_of_what_arrived() -> None:
    torch.manual_seed(0)
    x, far = torch.randn(200, 2, 3000), torch.arange(3000.0) % 7
    first, second = Telescope(), Telescope()
    places, values = [], []
    for part in x.split(7):
        place = first.advance(positions.place_of_largest, (fold(part), 1, True), {}, len(part), True)
        places.append(place.timed)
        args = (fold(far.expand_as(part)), 1, place)
        values.append(second.advance(positions.taken, args, {}, len(part), True).timed)
    t = torch.arange(1, 201.0).view(-1, 1, 1)
    expected = (x.cumsum(0) / t).argmax(-1, keepdim=True)
    assert torch.equal((torch.cat(places).cumsum(0) / t).round().long(), expected)
    torch.testing.assert_close(torch.cat(values).cumsum(0) / t, far[expected])


class Shown(OnTokens):
    def read(self, x: Tensor) -> Tensor:
        return x * x.argmax(1, keepdim=True)


class GivenBack(OnTokens):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.head(self.stem(x).mean((2, 3)))
        return x, x.argmax(1)


class AmongAll(OnTokens):
    """Rows of all images in one list, in which each image's begin after those before it."""

    def read(self, x: Tensor) -> Tensor:
        place = x.mean(-1).argmax(1) + torch.arange(x.size(0)) * 9
        return x.reshape(-1, 6)[place, :][:, None]


class Joined(OnTokens):
    def read(self, x: Tensor) -> Tensor:
        return x + torch.cat([x.argmax(1, keepdim=True), x.argmin(1, keepdim=True)], 1).max()


class OverAll(OnTokens):
    def read(self, x: Tensor) -> Tensor:
        return x + (x.argmax() % 5).long() * 0


@pytest.mark.parametrize("kind", [Shown, GivenBack, AmongAll, Joined, OverAll])
def test_places_that_are_read_in_other_ways_are_refused_by_name(kind: Callable[[], OnTokens]) -> None:
    with pytest.raises(UnsupportedOperations, match=r"Tensor\.argmax.*\n.*\n.*leave it out"):
        convert(kind().eval(), RECIPE, torch.randn(3, 3, 6, 6))
