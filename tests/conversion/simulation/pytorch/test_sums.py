"""What counts only by its sum over a window runs once, on sums; nothing changes by it.

Weights and thresholds are short binary fractions, so all sums are exact: nothing may differ, whatever T is.
"""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from conversion import convert
from conversion.neurons import DelaySpike, FewSpikes, Parallel, TemporalWeight, TwoPhase
from conversion.plan.sums import Sums
from conversion.signals.signals import Signal, Spikes, Total
from conversion.simulation.choice import use
from conversion.simulation.compiled.native import kernel


class Mixed(nn.Module):
    """Residual sums, a border of ones, an average, constants; a max pool in front where `pooled`."""

    def __init__(self, pooled=False):
        super().__init__()
        self.pooled = pooled
        self.first = nn.Conv2d(3, 16, 3, padding=1)
        self.second, self.third = nn.Conv2d(16, 16, 3), nn.Conv2d(16, 16, 3, padding=1, bias=False)
        self.norm, self.wide = nn.BatchNorm2d(16), nn.Conv2d(16, 12, 1)
        self.hidden, self.head = nn.Linear(12 * 4, 20), nn.Linear(20, 5)

    def forward(self, x):
        x = F.relu(self.first(x))
        if self.pooled:
            x = F.max_pool2d(x, 2)
        y = F.relu(self.second(F.pad(x, (1, 1, 1, 1), value=1.0)) + x + 0.25)
        y = F.relu(self.norm(self.third(y) * 0.5) - x)
        y = F.relu(F.adaptive_avg_pool2d(self.wide(y), 2))
        return self.head(F.relu(self.hidden(y.flatten(1))) * 2.0)


def network(pooled=False):
    generator = torch.Generator().manual_seed(3)
    found = Mixed(pooled)
    with torch.no_grad():
        for parameter in found.parameters():
            parameter.copy_(torch.randint(-10, 16, parameter.shape, generator=generator) / 32)
        found.norm.running_mean.fill_(0.5)
        found.norm.running_var.fill_(4 - found.norm.eps)
    return found.eval()


IMAGES = torch.randint(-4, 8, (3, 3, 8, 8), generator=torch.Generator().manual_seed(1)) / 8
BACKENDS = ["pytorch", *(["compiled"] if kernel() is not None else [])]
RECIPES = [{"preset": "opi", "neuron": name} for name in ("parallel", "delay-spike", "two-phase")]
ROUNDED = [{"preset": "opi", "neuron": name} for name in ("temporal-weight", "few-spikes")]


def simulate(recipe, pooled, backend, sums=True, precision="float32", time_steps=(1, 3, 5, 8)):
    snn = convert(network(pooled), recipe, IMAGES)
    for index, threshold in enumerate(snn.thresholds.values()):
        threshold.fill_((0.5, 2.0, 1.0)[index % 3])
    with pytest.MonkeyPatch.context() as patch, use(backend):
        if not sums:
            patch.setattr("conversion.plan.fitted.sums_of", lambda *_: Sums())
        readouts = list(snn.simulate(IMAGES, time_steps, precision=precision))
        assert bool(snn.fitted.sums.senders) == sums
    return readouts


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("recipe", RECIPES, ids=str)
def test_windows_on_sums_send_what_they_send_step_by_step(recipe, pooled, backend):
    ours = simulate(recipe, pooled, backend)
    for one, two in zip(ours, simulate(recipe, pooled, "pytorch", sums=False), strict=True):
        assert sum(two.activity.spikes.values()) > 0
        assert one.activity.spikes == two.activity.spikes
        assert one.activity.synops == two.activity.synops
        torch.testing.assert_close(one.output, two.output, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("recipe", ROUNDED, ids=str)
def test_weighted_digits_on_sums_are_the_same_but_for_rounding(recipe, backend):
    ours = simulate(recipe, True, backend, time_steps=(4,))
    for one, two in zip(ours, simulate(recipe, True, "pytorch", sums=False, time_steps=(4,)), strict=True):
        for name, spikes in two.activity.spikes.items():
            assert one.activity.spikes[name] == pytest.approx(spikes, rel=0.01)
        assert (one.output - two.output).norm() < 0.02 * two.output.norm()


def test_the_kernels_weights_make_no_difference_to_sums():
    if "compiled" not in BACKENDS:
        pytest.skip("no C compiler")
    one, two = (simulate(RECIPES[0], False, "compiled", precision=p)[-1] for p in ("int8", "float32"))
    assert one.activity.spikes == two.activity.spikes


@pytest.mark.parametrize(
    "neuron",
    [
        Parallel(),
        Parallel(0.7),
        Parallel((0.5, 1.0, 1.5)),
        DelaySpike(),
        TwoPhase(3),
        TemporalWeight(),
        FewSpikes(),
    ],
    ids=repr,
)
@pytest.mark.parametrize("steps", [1, 3, 16])
def test_sums_of_a_window_are_those_of_its_spikes(neuron, steps):
    torch.manual_seed(0)
    current = torch.randn(steps, 40, 3, 7) * 2 + 0.4
    current[:, :10] = current[:, :10].round()  # exactly at thresholds
    state = neuron.start(torch.full((40, 3, 7), 0.5))
    spikes, _ = neuron.scan(current, steps, state)
    total = current.sum(0, dtype=torch.float64 if not neuron.integral else torch.float32)
    sent, events = neuron.sent_in_window(total, steps, state)
    torch.testing.assert_close(sent, spikes.sum(0), rtol=1e-6, atol=1e-6)
    assert torch.equal(events, neuron.events(spikes).sum(0))
    assert sent.any()
    again, _ = neuron.window(total, steps, state)
    assert torch.equal(again, spikes)


def test_a_total_counts_what_does_not_change_in_every_step():
    spikes = Spikes(torch.tensor([[1], [3], [0], [2]], dtype=torch.uint8), 2, torch.full((1, 1), 0.5), False)
    assert torch.equal(Total.of(spikes, 2).data, torch.tensor([[0.5], [2.5]]))
    assert torch.equal(Total.of(Signal(torch.ones(2, 1), 1), 5).data, torch.full((2, 1), 5.0))
    assert torch.equal(Total.of(spikes, 2).mean.data, torch.tensor([[0.25], [1.25]]))


def test_neurons_that_wait_for_a_part_of_the_window_need_its_order():
    snn = convert(network(), {"preset": "opi", "neuron": {"name": "delay-spike", "wait": 2}}, IMAGES)
    assert not snn.fitted.sums.senders
    assert not convert(network(), "opi", IMAGES).fitted.sums.senders
