"""An exported graph, read back from its file and run by a simulator that knows nothing of `conversion`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conversion import NirExportError, SpikingNetwork, convert

nir = pytest.importorskip("nir", reason="the exported files are read by the package nir")


class NirSimulator:
    """Steps through a NIR graph of torch-like nodes: one node after the other, one step at a time.

    IF neurons lose their threshold when they fire ("soft") or go to v_reset ("hard").
    """

    def __init__(self, graph, reset: str) -> None:
        self.graph, self.reset = graph, reset
        self.sources: dict[str, list[str]] = {name: [] for name in graph.nodes}
        for before, after in graph.edges:
            self.sources[after].append(before)
        self.order: list[str] = []
        while len(self.order) < len(graph.nodes):
            known = set(self.order)
            ready = [n for n in graph.nodes if n not in known and known.issuperset(self.sources[n])]
            assert ready, "the graph has a loop"
            self.order += ready
        self.v: dict[str, Tensor] = {}
        self.spikes: dict[str, float] = {}

    def run(self, image: Tensor, steps: int) -> Tensor:
        """Mean output."""
        return sum(self.step(image) for _ in range(steps)) / steps

    def step(self, image: Tensor) -> Tensor:
        values: dict[str, Tensor] = {}
        for name in self.order:
            node = self.graph.nodes[name]
            if isinstance(node, nir.Input):
                values[name] = image
            else:
                total = torch.stack([values[source] for source in self.sources[name]]).sum(0)
                values[name] = self.apply(name, node, total)
        (output,) = (n for n in self.order if isinstance(self.graph.nodes[n], nir.Output))
        return values[output]

    def apply(self, name: str, node, x: Tensor) -> Tensor:
        if isinstance(node, nir.Output):
            return x
        if isinstance(node, nir.Conv2d):
            settings = tuple(node.stride), tuple(node.padding), tuple(node.dilation), int(node.groups)
            return F.conv2d(x, torch.tensor(node.weight), torch.tensor(node.bias), *settings)
        if isinstance(node, nir.Affine):
            return x @ torch.tensor(node.weight).T + torch.tensor(node.bias)
        if isinstance(node, nir.Linear):
            return x @ torch.tensor(node.weight).T
        if isinstance(node, nir.Scale):
            return x * torch.tensor(node.scale)
        if isinstance(node, nir.AvgPool2d):
            return F.avg_pool2d(x, tuple(node.kernel_size), tuple(node.stride), tuple(node.padding))
        if isinstance(node, nir.Flatten):
            end = int(node.end_dim)
            return x.flatten(int(node.start_dim) + 1, end + 1 if end >= 0 else end)
        assert isinstance(node, nir.IF), type(node)
        threshold = torch.tensor(node.v_threshold)
        start = torch.as_tensor(node.metadata.get("v_initial", np.zeros_like(node.v_threshold)))
        v = self.v.get(name, start) + torch.tensor(node.r) * x
        fired = v >= threshold
        after = v - threshold if self.reset == "soft" else torch.tensor(node.v_reset).expand_as(v)
        self.v[name] = torch.where(fired, after, v)
        self.spikes[name] = self.spikes.get(name, 0.0) + float(fired.sum())
        return fired.to(x.dtype)


def chain() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        nn.ReLU(),
        nn.AvgPool2d(2),
        nn.Conv2d(4, 6, 3, stride=2, dilation=1, bias=False),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Dropout(),
        nn.Flatten(),
        nn.Linear(24, 5),
    )


class Residual(nn.Module):
    """Sums and differences of spikes, currents and the image; factors; functional layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.branch, self.skip = (nn.Conv2d(c, 4, 3, padding=1) for c in (2, 4, 4))
        self.image = nn.Conv2d(2, 4, 1)
        self.after, self.hidden = nn.Conv2d(4, 4, 1), nn.Linear(16, 6)
        self.head, self.side = nn.Linear(6, 3, bias=False), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        a = F.relu(self.first(x))
        b = F.relu(self.branch(a) + self.image(x) + a)
        c = F.relu(self.skip(b) - a / 2 + b * 1.5)
        d = F.relu6(F.conv2d(b + a + c + a, self.after.weight, self.after.bias, stride=2))
        pooled = F.adaptive_avg_pool2d(d, (2, 2))
        e = F.relu(self.hidden(pooled.view(x.size(0), -1)))
        return self.head(e) + self.side(d.mean((2, 3))) + self.head(e)


@pytest.mark.parametrize("network", [chain, Residual], ids=["chain", "residual"])
@pytest.mark.parametrize("preset", ["maxnorm", "opi"])
@pytest.mark.parametrize("per_channel", [False, True])
def test_a_graph_read_from_its_file_sends_the_same_spikes(
    settle, tmp_path: Path, network, preset: str, per_channel: bool
) -> None:
    size = (2, 8, 8) if network is Residual else (2, 12, 12)
    ann = settle(network(), size)
    images = torch.randn(6, *size, dtype=torch.float64)
    snn = convert(ann, {"preset": preset, "scale": {"per_channel": per_channel}}, images).double()
    path = tmp_path / "network.nir"
    snn.to_nir(path, accept_reset_to_value=True)
    simulator = NirSimulator(nir.read(path), "soft")
    output = simulator.run(images, 20)
    (readout,) = snn.simulate(images, (20,))
    expected = {name.replace(".", "_").replace("#", "_"): n for name, n in readout.activity.spikes.items()}
    assert simulator.spikes == expected
    assert min(expected.values()) > 20
    torch.testing.assert_close(output, readout.output, rtol=1e-5, atol=1e-6)
    hard = NirSimulator(nir.read(path), "hard")
    hard.run(images, 20)
    assert sum(hard.spikes.values()) < sum(simulator.spikes.values())  # what a literal reading would lose


def test_the_value_of_a_spike_is_folded_into_the_weights_that_read_it() -> None:
    ann = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    snn = convert(ann, "opi", torch.randn(9, 3))
    graph = snn.to_nir(accept_reset_to_value=True)
    assert {name: type(node).__name__ for name, node in graph.nodes.items()} == {
        "input": "Input",
        "0": "Affine",
        "1": "IF",
        "2": "Affine",
        "output": "Output",
    }
    theta = snn.thresholds["1"]
    np.testing.assert_allclose(graph.nodes["2"].weight, (ann[2].weight * theta).detach())
    np.testing.assert_allclose(graph.nodes["0"].weight, ann[0].weight.detach())
    assert graph.nodes["1"].v_threshold.shape == (4,)
    np.testing.assert_allclose(graph.nodes["1"].metadata["v_initial"], 0.5 * theta.expand(1, 4)[0])


def test_the_file_says_how_neurons_reset(tmp_path: Path) -> None:
    snn = convert(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)), "opi", torch.randn(9, 3))
    snn.to_nir(tmp_path / "a.nir", accept_reset_to_value=True)
    metadata = nir.read(tmp_path / "a.nir").metadata
    assert metadata["reset"].startswith("v - v_threshold")
    assert (metadata["fires"], float(metadata["v_initial"]), float(metadata["dt"])) == (
        "v >= v_threshold",
        0.5,
        1.0,
    )


def test_soft_reset_needs_to_be_accepted(tmp_path: Path) -> None:
    snn = convert(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)), "opi", torch.randn(9, 3))
    with pytest.raises(NirExportError, match="accept_reset_to_value=True") as caught:
        snn.to_nir(tmp_path / "a.nir")
    assert len(caught.value.problems) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("recipe", "named"),
    [
        ({"preset": "percentile", "correction": {"name": "layerwise", "time_steps": 4}}, "constant current"),
        ({"preset": "percentile", "initial": "residual"}, "steps before the read-out"),
    ],
)
def test_what_a_neuron_of_nir_has_no_place_for_is_refused(recipe: dict[str, Any], named: str) -> None:
    """A file without it would send other spikes."""
    snn = convert(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)), recipe, torch.randn(9, 3))
    assert isinstance(snn, SpikingNetwork)
    with pytest.raises(NirExportError, match=named):
        snn.to_nir(accept_reset_to_value=True)


class Everything(nn.Module):
    """One of each operation that cannot be exported."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.pool = nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.MaxPool2d(2)
        self.groups, self.tall = nn.Conv2d(4, 4, 3, padding=1, groups=2), nn.Conv2d(4, 4, (3, 1))
        self.mirror, self.up = (
            nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
            nn.Upsample(scale_factor=2),
        )
        self.grow, self.last = nn.ConvTranspose2d(8, 4, 2), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(F.relu(self.first(x)))
        x = self.up(self.mirror(self.tall(self.groups(self.pool(x)))))
        x = F.avg_pool2d(F.adaptive_avg_pool2d(x, (3, 3)), 2, 1, 1, count_include_pad=False)
        x = self.grow(torch.cat([x, x], 1))
        x = self.last(x[..., :4] + torch.ones(4))
        return F.avg_pool2d(x, 2, ceil_mode=True).flatten(1)


def test_neurons_that_a_correction_has_replaced_are_named() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).eval()
    snn = convert(network, {"preset": "ftbc", "scale": "maximum"}, torch.rand(8, 3), time_steps=4).at(4)
    assert isinstance(snn, SpikingNetwork)
    with pytest.raises(NirExportError, match=r"fitted neurons of layers '1' \('timed-bias'\)"):
        snn.to_nir(accept_reset_to_value=True)


def test_everything_that_cannot_be_written_is_listed_at_once() -> None:
    snn = convert(Everything(), "spicalib", torch.randn(6, 2, 8, 8))
    with pytest.raises(NirExportError) as caught:
        snn.to_nir()
    expected = [
        "neurons 'spike-calibrated' (alphabet signed)",
        "soft reset",
        "norm (torch.nn.BatchNorm2d): a batch norm",
        "pool (torch.nn.MaxPool2d): NIR has no max pooling",
        "groups (torch.nn.Conv2d): nir 1.0 takes the input of a grouped",
        "tall (torch.nn.Conv2d): nir 1.0 takes kernels",
        "mirror (torch.nn.Conv2d): NIR pads with zeros",
        "up (torch.nn.Upsample): NIR averages over windows",
        "adaptive_avg_pool2d (torch.nn.functional.adaptive_avg_pool2d): windows of adaptive pooling",
        "avg_pool2d (torch.nn.functional.avg_pool2d): NIR's average pooling counts padded",
        "cat (torch.cat): NIR has no node that moves",
        "grow (torch.nn.ConvTranspose2d): only 2-D convolutions",
        "getitem (operator.getitem): NIR has no node that moves",
        "add (operator.add): only the sum or difference of two signals",
        "last (torch.nn.Linear): NIR's linear layers take vectors",
        "avg_pool2d#2 (torch.nn.functional.avg_pool2d): NIR's average pooling has neither",
    ]
    for problem, start in zip(caught.value.problems, expected, strict=True):
        assert problem.startswith(start)
        assert problem in str(caught.value)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    snn = convert(nn.Sequential(nn.Linear(3, 4), nn.ReLU()), "opi", torch.randn(9, 3))
    monkeypatch.setitem(sys.modules, "nir", None)
    with pytest.raises(ImportError, match=r"spikemark\[nir\]"):
        snn.to_nir(accept_reset_to_value=True)
