"""Fits that are tried in the kernel: it says what the equations of the neurons say, step by step."""

import pytest
import torch

from conversion.neurons import (
    Burst,
    ImbalancedThreshold,
    IntegrateAndFire,
    Neuron,
    Parallel,
    Signed,
    SpikeCalibrated,
    TemporalWeight,
    Tracking,
)
from conversion.simulation import trials
from conversion.simulation.choice import BACKENDS
from conversion.simulation.compiled.native import kernel
from conversion.simulation.compiled.trials import biases_in_kernel, can_try, try_in_kernel
from conversion.simulation.trials import Sample, Starts

pytestmark = pytest.mark.skipif(kernel() is None, reason="no C compiler on this machine")
COMPILED = next(backend for backend in BACKENDS if backend.name == "compiled")
NEURONS = [
    IntegrateAndFire(),
    Burst(5),
    Signed(4, 0.0, 4),
    Signed(1, -1.0),
    SpikeCalibrated(3, variant="code"),
    SpikeCalibrated(3, variant="cons"),
    ImbalancedThreshold(0.25),
    Tracking(2),
]


def eighths(*shape: int, low: int = -8, high: int = 16) -> torch.Tensor:
    """Random multiples of 1/8, whose sums no rounding touches."""
    return torch.randint(low, high, shape, generator=torch.Generator().manual_seed(1)) / 8


def sample_of(channels: int, steps: int, samples: int, constant: bool) -> Sample:
    current = eighths(channels, 1 if constant else steps, samples)
    return Sample(current, eighths(channels, samples, low=0), steps)


def starts_of(count: int, channels: int) -> Starts:
    """Thresholds that are powers of two, so that dividing by them is exact."""
    thresholds = 2.0 ** torch.arange(-1, count * channels - 1).view(count, channels).remainder(3)
    return Starts(thresholds, eighths(count, channels), eighths(count, channels, low=-2, high=3))


def by_hand(neuron: Neuron, sample: Sample, starts: Starts, k: int, c: int) -> tuple[float, float]:
    """Mean and squared error of one channel from one start, neuron by neuron."""
    threshold = starts.threshold[k, c]
    totals = []
    for neighbour in range(sample.wanted.shape[1]):
        state, total = neuron.start(starts.membrane[k, c].clone()[None]), 0.0
        for t in range(sample.steps):
            x = sample.current[c, min(t, sample.current.shape[1] - 1), neighbour]
            spikes, state = neuron.step(((x + starts.offset[k, c]) / threshold)[None], state)
            total += float(spikes)
        totals.append(total)
    means = torch.tensor(totals) * threshold / sample.steps
    return float(means.mean()), float((means - sample.wanted[c]).square().mean())


@pytest.mark.parametrize("neuron", NEURONS, ids=str)
@pytest.mark.parametrize("constant", [True, False])
@pytest.mark.parametrize(("count", "samples"), [(1, 3), (5, 16), (11, 37)])
def test_answers_are_those_of_single_neurons(neuron, constant, count, samples) -> None:
    sample, starts = sample_of(3, 6, samples, constant), starts_of(count, 3)
    answers = COMPILED.try_starts(neuron, sample, starts)
    assert answers.mean.shape == answers.error.shape == (count, 3)
    for k in {0, count - 1}:
        for c in range(3):
            mean, error = by_hand(neuron, sample, starts, k, c)
            assert float(answers.mean[k, c]) == pytest.approx(mean, rel=1e-5, abs=1e-6)
            assert float(answers.error[k, c]) == pytest.approx(error, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("neuron", NEURONS, ids=str)
def test_kernel_and_plain_operations_agree_on_many_neurons(neuron) -> None:
    """More than one block of registers, and more channels than threads."""
    sample, starts = sample_of(5, 4, 5000, constant=False), starts_of(3, 5)
    assert can_try(neuron, sample)
    one, two = try_in_kernel(neuron, sample, starts), trials.try_starts(neuron, sample, starts)
    torch.testing.assert_close(one.mean, two.mean, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(one.error, two.error, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("neuron", NEURONS, ids=str)
@pytest.mark.parametrize("constant", [True, False])
@pytest.mark.parametrize("samples", [16, 64])
def test_biases_are_those_of_plain_operations(neuron, constant, samples) -> None:
    """A rate of 1/2 and 2^n neurons keep every bias a short binary fraction."""
    sample, start = sample_of(4, 5, samples, constant), starts_of(1, 4)
    one = biases_in_kernel(neuron, sample, start, 2, 0.5)
    two = trials.temporal_biases(neuron, sample, start, 2, 0.5)
    assert one.shape == (5, 4)
    assert one.any()
    torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-5)


def test_the_bias_of_one_step_has_a_closed_form() -> None:
    """Neurons at 0.75 of a threshold never fire; wanted is one spike each: the bias grows by the rate."""
    sample = Sample(torch.full((2, 3, 20), 0.75), torch.full((2, 20), 1.0), 3)
    start = Starts(torch.ones(1, 2), torch.zeros(1, 2), torch.zeros(1, 2))
    bias = COMPILED.temporal_biases(IntegrateAndFire(), sample, start, 1, 0.125)
    # v: 0.75 + 0.125 < 1, so the second step has 0.875 + 0.75 + 0.0 -> fires, and lacks nothing.
    assert torch.allclose(bias, torch.tensor([[0.125, 0.125], [0.0, 0.0], [0.0, 0.0]]))


def test_what_the_kernel_does_not_fire_runs_in_plain_operations() -> None:
    sample = sample_of(2, 4, 8, constant=False)
    for neuron in (TemporalWeight(), Parallel()):
        assert not can_try(neuron, sample)
    doubles = Sample(sample.current.double(), sample.wanted.double(), 4)
    assert not can_try(IntegrateAndFire(), doubles)
    starts = Starts(*(values.double() for values in vars(starts_of(2, 2)).values()))
    answers = COMPILED.try_starts(IntegrateAndFire(), doubles, starts)
    assert answers.error.dtype == torch.float64
    assert float(answers.mean[1, 1]) == pytest.approx(by_hand(IntegrateAndFire(), doubles, starts, 1, 1)[0])
