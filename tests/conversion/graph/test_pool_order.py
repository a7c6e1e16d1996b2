import copy

import pytest
import torch
from torch import Tensor, nn

from conversion import convert
from conversion.diagnosis.diagnostics import diagnose
from conversion.graph.capture import capture
from conversion.graph.pool_order import pools_first


class Pools(nn.Module):
    """Neuron and pool, neuron and two pools in a row, a neuron that others read too."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = (nn.Conv2d(n, 4, 3, padding=1) for n in (2, 4, 4))
        self.relu_a, self.relu_b, self.relu_c = nn.ReLU(), nn.ReLU6(), nn.ReLU()
        self.pool_a, self.pool_b = nn.MaxPool2d(3, 2, 1), nn.MaxPool2d(2, 1)
        self.pool_c, self.pool_d = nn.MaxPool2d(2, ceil_mode=True), nn.MaxPool2d(3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool_a(self.relu_a(self.a(x)))
        x = self.pool_c(self.pool_b(self.relu_b(self.b(x))))
        x = self.relu_c(self.c(x))
        return x + self.pool_d(x)


SWAPPED = ["pool_a", "relu_a", "pool_b", "pool_c", "relu_b", "relu_c", "pool_d"]


@pytest.fixture
def pools() -> nn.Module:
    return Pools().double().requires_grad_(False)


def test_only_neurons_that_feed_one_pool_change_places(pools: nn.Module) -> None:
    captured = capture(pools)
    x = torch.randn(3, 2, 16, 16, dtype=torch.float64)
    before = captured(x)
    assert pools_first(captured)
    names = [str(node.target) for node in captured.graph.nodes if node.op == "call_module"]
    assert [name for name in names if name not in "abc"] == SWAPPED
    captured.graph.lint()
    assert torch.equal(captured(x), before)
    assert torch.equal(before, pools(x))
    again = copy.deepcopy(captured)
    assert not pools_first(again)


def test_currents_are_pooled_step_by_step_and_spikes_gated(pools: nn.Module) -> None:
    images = torch.randn(20, 2, 16, 16, dtype=torch.float64)
    snn = convert(pools, {"preset": "opi", "pooling": "before-neuron"}, images)
    became = {entry.name: entry.became for entry in snn.report}
    assert became["pool_a"] == became["pool_b"] == became["pool_c"] == "before-neuron pooling"
    assert became["pool_d"].startswith("gate pooling, as it does not")
    readout = next(snn.simulate(images[:2], (6,)))
    assert set(readout.activity.spikes) == {"relu_a", "relu_b", "relu_c", "pool_d"}
    # The first neuron by hand: constant current, pooled, half full.
    current = pools.pool_a(pools.a(images[:2])) / snn.thresholds["relu_a"]
    expected = (current * 6 + 0.5).floor().clamp(0, 6).sum()
    assert readout.activity.spikes["relu_a"] == pytest.approx(float(expected))


def test_increments_of_sums_settle_on_the_ann_and_maxima_of_steps_do_not(pools: nn.Module) -> None:
    images = torch.randn(20, 2, 16, 16, dtype=torch.float64)
    errors = {}
    for currents in ("per-step", "cumulative"):
        pooling = {"name": "before-neuron", "currents": currents}
        snn = convert(pools, {"preset": "maxnorm", "initial": "fraction", "pooling": pooling}, images)
        readouts = snn.simulate(images[:4], (8, 512))
        errors[currents] = [float((r.output - pools(images[:4]).detach()).abs().mean()) for r in readouts]
    assert errors["cumulative"][1] < errors["cumulative"][0] / 8
    assert errors["per-step"][1] > 3 * errors["cumulative"][1]


def test_diagnosis_compares_the_same_layers(pools: nn.Module) -> None:
    images = torch.randn(20, 2, 16, 16, dtype=torch.float64)
    snn = convert(pools, {"preset": "maxnorm", "pooling": "before-neuron"}, images)
    rows = diagnose(pools, snn, images[:3], (64,)).rows
    assert [row.layer for row in rows] == ["relu_a", "relu_b", "relu_c"]
    assert rows[0].neurons == 4 * 8 * 8
    assert rows[0].relative_error < 0.1


def test_networks_without_such_pools_stay_as_they_are(branchy, calibration, images) -> None:
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)).double()
    found = convert(plain, {"preset": "opi", "pooling": "before-neuron"}, calibration)
    expected = convert(plain, "opi", calibration)
    for one, two in zip(found.simulate(images, (4,)), expected.simulate(images, (4,)), strict=True):
        assert torch.equal(one.output, two.output)
