"""Fan-outs through operations that are linear in a signal, however people write them, against counting."""

import importlib.util
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from conversion import convert
from conversion.graph.operations import Kind

_SPEC = importlib.util.spec_from_file_location("ways", Path(__file__).parent / "test_ways.py")
ways = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(ways)

MATRIX, THREE_NUMBERS = torch.rand(4, 4) + 0.1, torch.rand(1, 1, 1, 3) + 0.1
THREE = torch.tensor([2, 0, 2])


GRID = torch.stack(torch.meshgrid(torch.linspace(-0.9, 0.8, 3), torch.linspace(-1, 1, 5), indexing="ij"), -1)


def sampled(x: torch.Tensor) -> torch.Tensor:
    grid = GRID.flip(-1)[None].to(x).expand(x.shape[0], -1, -1, -1)
    return F.grid_sample(x, grid, align_corners=True)


def frames_sampled(x: torch.Tensor) -> torch.Tensor:
    """Two windows of each image in the batch axis, sampled at places of their own."""
    windows = x.unflatten(2, (2, 2)).transpose(1, 2).flatten(0, 1)
    grids = torch.stack([GRID, 0.5 * GRID.flip(0)]).to(x).repeat(x.shape[0], 1, 1, 1)
    return F.grid_sample(windows, grids, align_corners=False).unflatten(0, (-1, 2)).flatten(1, 2)


def folded(x: torch.Tensor) -> torch.Tensor:
    return F.fold(F.unfold(x, 3, padding=1), (4, 4), 3, padding=1)


WAYS = {
    "running sum": lambda x: x.cumsum(2),
    "running sum of channels": lambda x: torch.cumsum(x, dim=1),
    "running sum of a running sum": lambda x: torch.cumsum(x.cumsum(-1), axis=3),
    "running sum of an average": lambda x: ways.blurred(x).cumsum_(2),
    "running sum of a difference": lambda x: (x - x.flip(3)).cumsum(3),
    "mean of a running sum": lambda x: x.cumsum(2).mean(2, keepdim=True).expand(-1, -1, 3, -1),
    "windows folded": folded,
    "windows folded twice": lambda x: folded(folded(x)),
    "windows folded at strides": lambda x: F.fold(F.unfold(x, 3, padding=1), (7, 7), 3, padding=1, stride=2),
    "places added to": lambda x: x.new_zeros(x.shape).index_add(2, torch.tensor([0, 2, 0, 3]), x),
    "itself added to": lambda x: x.index_add(3, THREE, x[..., :3], alpha=-0.5),
    "places added to, one by one": lambda x: torch.zeros_like(x).scatter_add(
        2, (torch.arange(16).view(1, 1, 4, 4) % 3).expand(x.shape[0], 4, -1, -1), x
    ),
    "scattered": lambda x: torch.zeros_like(x).scatter(
        3, torch.tensor([3, 1, 0, 2]).expand(x.shape[0], 4, 4, 4), x
    ),
    "gathered and averaged": lambda x: ways.blurred(
        x.gather(2, torch.zeros(1, 1, 4, 1, dtype=torch.long).expand(x.shape[0], 4, 4, 4))
    ),
    "written over all": lambda x: ways.blurred(written(x)),
    "differences": lambda x: torch.diff(x, dim=2),
    "second differences": lambda x: x.diff(n=2, dim=-1),
    "differences from the first": lambda x: x.diff(dim=2, prepend=x[:, :, :1]),
    "trapezoids": lambda x: torch.trapezoid(x, dx=0.5, dim=2)[:, :, None],
    "running trapezoids": lambda x: torch.cumulative_trapezoid(x, dim=3),
    "between two": lambda x: torch.lerp(x, x.flip(3), 0.3),
    "between two, by a map": lambda x: x.lerp(x.roll(1, 2), MATRIX.to(x)),
    "a half way back": lambda x: x.lerp(x, 0.5),
    "a product added": lambda x: torch.addcmul(x, x.flip(2), MATRIX.to(x), value=0.5),
    "a quotient added": lambda x: x.addcdiv(x, MATRIX.to(x)),
    "taken from one": lambda x: torch.rsub(x, 1.0),
    "taken from itself": lambda x: torch.rsub(x, x.flip(3), alpha=2),
    "mean of numbers": lambda x: torch.nanmean(x, 2, keepdim=True),
    "sum of numbers": lambda x: x.nansum(dim=3, keepdim=True),
    "sum to a size": lambda x: x.sum_to_size(x.shape[0], 4, 1, 4),
    "Kronecker product": lambda x: torch.kron(x, torch.tensor([[1.0, 0.0], [2.0, 1.0]])),
    "Kronecker product from the left": lambda x: torch.kron(torch.ones(1, 1, 2, 1), x),
    "diagonal": lambda x: torch.diagonal(x, 0, 2, 3)[..., None],
    "diagonal above": lambda x: x.diagonal(1, dim1=-2, dim2=-1)[:, :, None],
    "on a diagonal": lambda x: torch.diag_embed(x[:, :, 1]),
    "a slice exchanged": lambda x: torch.select_scatter(x, x[:, :, 0], 2, 3),
    "sum by letters": lambda x: torch.einsum("bchw->bcw", x)[:, :, None],
    "diagonal by letters": lambda x: torch.einsum("...hh->...h", x)[..., None],
    "order by letters": lambda x: torch.einsum("bc...->b...c", x),
    "cross product": lambda x: torch.linalg.cross(x[..., :3], THREE_NUMBERS.to(x)),
    "power of two": lambda x: torch.ldexp(+x, torch.tensor(2)),
    "sampled": sampled,
    "sampled twice": lambda x: sampled(sampled(x)),
    "nearest": lambda x: F.grid_sample(
        ways.blurred(x), GRID[None].to(x).expand(x.shape[0], -1, -1, -1), mode="nearest", align_corners=False
    ),
    "frames sampled": frames_sampled,
    "parts": lambda x: torch.cat(x.split_with_sizes([3, 1], 1)[::-1], 1),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.filterwarnings("ignore:torch.*trapz")
def test_a_spike_counts_once_in_each_value_that_it_reaches(way) -> None:
    images = torch.randn(3, 2, 4, 4)
    channels = ways.Way(way, nn.Identity())(images).shape[1]
    network = ways.Way(way, nn.Conv2d(channels, 3, 1)).eval()
    assert torch.equal(ways.reached(network), ways.alone(network))
    assert ways.alone(network).any()
    snn = convert(network, "opi", images)
    assert snn.audit.verdict == "spiking"
    assert not snn.plan.nodes_of(Kind.FUNCTION)
    (readout,) = snn.simulate(images, (3,), chunk=2)
    last = next(layer for layer in snn.connectivity(images).layers if layer.name == "layer")
    (spikes,) = (snn.connectivity(images).units[name] for name in last.fanout)
    assert spikes == 64
    assert readout.output.shape == network(images).shape


def test_a_running_sum_by_hand() -> None:
    network = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), Running(), nn.Linear(5, 2))
    assert ways.reached(network, "3", "1", (3,)).tolist() == [10.0, 8.0, 6.0, 4.0, 2.0]


class Running(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.cumsum(1)


def added(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    products = (x[:, None] * w).flatten(1)
    return products.new_zeros(x.shape[0], 5).index_add(1, torch.arange(30) // 6, products)


def written(x: torch.Tensor) -> torch.Tensor:
    out = x * 1.0
    out[:, :, :] = x[:, :, :1]
    return out


WEIGHTS = torch.rand(5, 6) + 0.5
LAYERS = {
    "tensordot": lambda x, w: torch.tensordot(x, w, dims=([1], [1])),
    "tensordot of the last": lambda x, w: torch.tensordot(x, w.T, 1),
    "inner": lambda x, w: torch.inner(x, w),
    "letters and dots": lambda x, w: torch.einsum("...i,ji->...j", x, w),
    "dots for all but one": lambda x, w: torch.einsum("...i,...ij", x, w.T[None]),
    "weights for each image": lambda x, w: torch.einsum("bi,bji->bj", x, w.expand(x.shape[0], -1, -1)),
    "vecdot": lambda x, w: torch.linalg.vecdot(x[:, None], w),
    "multi_dot": lambda x, w: torch.linalg.multi_dot([x, w.T]),
    "addmm": lambda x, w: torch.addmm(input=torch.zeros(5), mat1=x, mat2=w.T, alpha=2),
    "mm": lambda x, w: x.mm(mat2=w.T),
    "running sum": lambda x, w: (x[:, None] * w).cumsum(2)[..., -1],
    "places added to": added,
}


@pytest.mark.parametrize("way", LAYERS.values(), ids=LAYERS)
def test_linear_layers_count_however_they_are_written(way) -> None:
    network, images = ways.Sums(way).eval(), torch.rand(4, 3)
    network.weight.data = WEIGHTS
    snn = convert(network, "maxnorm", images)
    assert snn.audit.verdict == "spiking"
    first, *written, last = snn.connectivity(images).layers
    assert (first.name, last.name, last.drive) == ("first", "last", "current")
    (readout,) = snn.simulate(images, (16,))
    found = sum(readout.activity.synops[layer.name] for layer in written)
    assert found == 5 * readout.activity.spikes["relu"]


def test_a_trapezoid_between_uneven_places_weighs_sums_of_neighbours() -> None:
    class Area(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.trapezoid(x, torch.tensor([0.0, 1.0, 3.0, 4.0, 6.0]))[:, None]

    network = nn.Sequential(nn.Linear(3, 5), nn.ReLU(), Area(), nn.Linear(1, 2))
    assert ways.reached(network, "2.mul", "1", (3,)).tolist() == [1.0, 2.0, 2.0, 2.0, 1.0]
    assert [layer.drive for layer in ways.wiring_of(network, (3,)).layers[1:]] == ["spikes", "current"]
