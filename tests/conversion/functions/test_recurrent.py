"""Recurrent layers over tokens and rows of one image, stateless over time steps, convert and are counted."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from conversion import CaptureError, convert, load
from conversion.functions.recurrent import PlainCell, PlainRecurrent

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
RECIPE = {"preset": "tracking", "neuron": {"gamma": 15}}


class OnTokens(nn.Module):
    """Four tokens of six values from each image of 4 x 4 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 2, 2), nn.ReLU())
        self.build()
        self.head = nn.LazyLinear(3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.read(self.stem(x).flatten(2).transpose(1, 2)))


class BothWays(OnTokens):
    def build(self) -> None:
        self.layer = nn.LSTM(6, 2, 2, batch_first=True, bidirectional=True, dropout=0.1)

    def read(self, x: Tensor) -> Tensor:
        self.layer.flatten_parameters()
        x, (h, _) = self.layer(x)
        return x[:, -1] + torch.cat((h[-2], h[-1]), 1)


class Projected(OnTokens):
    def build(self) -> None:
        self.layer = nn.LSTM(6, 5, proj_size=3, bias=False, batch_first=True)

    def read(self, x: Tensor) -> Tensor:
        return self.layer(x)[0].mean(1)


class SequenceFirst(OnTokens):
    """A state of zeros for each image, made as most tutorials make it."""

    def build(self) -> None:
        self.layer = nn.GRU(6, 4, 2)

    def read(self, x: Tensor) -> Tensor:
        state = torch.zeros(self.layer.num_layers, x.size(0), self.layer.hidden_size, device=x.device)
        _, h = self.layer(x.permute(1, 0, 2), state)
        return h[-1]


class Learned(OnTokens):
    """A learned state at the start, and a layer without biases."""

    def build(self) -> None:
        self.layer = nn.GRU(6, 4, bias=False, batch_first=True)
        self.start = nn.Parameter(torch.randn(1, 1, 4))

    def read(self, x: Tensor) -> Tensor:
        return self.layer(x, self.start.repeat(1, x.size(0), 1))[0].sum(1)


class OfReLU(nn.RNN):
    """A class of its own around torch.nn's."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)[0]


class Derived(OnTokens):
    def build(self) -> None:
        self.layer = OfReLU(6, 4, nonlinearity="relu", batch_first=True)

    def read(self, x: Tensor) -> Tensor:
        return self.layer(x)[:, -1]


class Cells(OnTokens):
    def build(self) -> None:
        self.one, self.two, self.three = nn.LSTMCell(6, 4), nn.GRUCell(4, 4), nn.RNNCell(4, 4)

    def read(self, x: Tensor) -> Tensor:
        h = x.new_zeros(x.shape[0], 4)
        c, g, r = torch.zeros_like(h), torch.zeros(x.size(0), 4), None
        for token in x.unbind(1):
            h, c = self.one(token, (h, c))
            g = self.two(h, g)
            r = self.three(g, r)
        return r


class Rows(OnTokens):
    """Rows of a map, as many sequences as there are rows."""

    def build(self) -> None:
        self.layer = nn.LSTM(6, 4, batch_first=True)

    def read(self, x: Tensor) -> Tensor:
        b = x.shape[0]
        rows, _ = self.layer(x.reshape(b * 2, 2, 6))
        return rows.reshape(b, 4, 4).mean(1)


KINDS = (BothWays, Projected, SequenceFirst, Learned, Derived, Cells, Rows)


@pytest.mark.parametrize("kind", KINDS)
def test_it_converts_counted_one_by_one_and_is_kept(
    kind: Callable[[], OnTokens], tmp_path: Path, monkeypatch, one_by_one, unit_by_unit
) -> None:
    torch.manual_seed(0)
    network, images = kind(), torch.randn(3, 3, 4, 4)
    network.eval()(images)
    network.requires_grad_(False)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(1.5)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    snn, ann = convert(network, RECIPE, images), network(images)
    distance = {r.t: float((r.output - ann).norm() / ann.norm()) for r in snn.simulate(images, (1, 128))}
    assert distance[128] < 0.005
    assert distance[128] < distance[1] / 8
    assert snn.audit.verdict == "spiking"
    alone = next(snn.simulate(images[1:2], 8)).output
    torch.testing.assert_close(alone, next(snn.simulate(images, 8, chunk=3)).output[1:2])
    found, readout = one_by_one.counted(snn, images, 2, monkeypatch)
    assert found
    for layer, number in found.items():
        assert readout.activity.synops[layer] == pytest.approx(number), layer
    if kind in (Projected, Learned):  # others have more units, or zeros in single precision
        tried, differing = unit_by_unit.differing(snn, images[:1])
        assert tried
        assert not differing
    snn.save(tmp_path / "kept.pt")
    (ours,), (theirs,) = (one.simulate(images, 3) for one in (snn, load(tmp_path / "kept.pt")))
    assert torch.equal(ours.output, theirs.output)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_written_out_it_computes_what_torch_does(kind: type[nn.RNNBase], bias: bool) -> None:
    torch.manual_seed(0)
    layer = kind(3, 4, 2, bias=bias, bidirectional=True).double()
    x, h = torch.randn(5, 2, 3).double(), torch.randn(4, 2, 4).double()
    for state in (None, (h, h.flip(0)) if kind is nn.LSTM else h):
        ours, theirs = PlainRecurrent(layer)(x, state), layer(x, state)
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize(
    "cell", [nn.LSTMCell(3, 4), nn.GRUCell(3, 4, bias=False), nn.RNNCell(3, 4, nonlinearity="relu")], ids=str
)
def test_a_cell_written_out_computes_what_torch_does(cell: nn.Module) -> None:
    x, h = torch.randn(2, 3), torch.randn(2, 4)
    for state in (None, (h, h.flip(0)) if isinstance(cell, nn.LSTMCell) else h):
        torch.testing.assert_close(PlainCell(cell)(x, state), cell(x, state))


def test_one_that_runs_along_the_images_is_refused() -> None:
    class Wrong(OnTokens):
        def build(self) -> None:
            self.layer = nn.LSTM(6, 4)

        def read(self, x: Tensor) -> Tensor:
            return self.layer(x)[0][:, -1]

    network, images = Wrong(), torch.randn(3, 3, 4, 4)
    network.eval()(images)
    with pytest.raises(CaptureError, match=r"nn\.LSTM runs along the images.*batch_first=True"):
        convert(network, RECIPE, images)
