import pytest
import torch
from torch import Tensor

from conversion.neurons import SpikeCalibrated


def test_fix_breaks_conservation_by_one_threshold_a_retraction(scalar_neuron, run, transient) -> None:
    current = transient(80, 20)
    spikes, v = run(SpikeCalibrated(5, 2, "fix"), current)
    missing = spikes.sum(0) + v - current.sum(0)
    for image in range(2):
        for index in range(20):
            alone = scalar_neuron(gamma=5, allowance=2, variant="fix")
            for x in current[:, image, index].tolist():
                alone(x)
            assert missing[image, index].item() == pytest.approx(-alone.retracted)
    assert (missing < -0.5).any()


@pytest.fixture
def delivered(run):
    def deliver(variant: str, allowance: int, firing: range, steps: int = 64) -> tuple[float, Tensor]:
        current = torch.zeros(steps, 1, 1)
        current[list(firing)] = 1.0
        spikes, _ = run(SpikeCalibrated(5, allowance, variant), current)
        return spikes.sum().item(), spikes.flatten()

    return deliver


def test_late_neuron_is_muted_by_the_public_code_and_kept_by_the_fix(delivered) -> None:
    late = range(20, 64, 4)
    assert len(late) == 11
    assert delivered("code", 8, late)[0] == 1
    assert delivered("fix", 8, late)[0] == 11
    assert delivered("cons", 8, late)[0] == 11


@pytest.mark.parametrize(
    ("variant", "allowance", "expected"), [("code", 8, 0), ("code", 32, 4), ("fix", 8, 4), ("fix", 32, 4)]
)
def test_slow_regular_neuron(variant: str, allowance: int, expected: int, delivered) -> None:
    assert delivered(variant, allowance, range(15, 64, 16))[0] == expected


def test_neuron_that_falls_silent_takes_back_all_it_sent_and_no_more(delivered) -> None:
    # Fires at 0, 1, 2: mean interval 2/3, so silence of more than 8 2/3 steps is too long.
    total, spikes = delivered("fix", 8, range(3))
    assert total == 0
    assert spikes.nonzero().flatten().tolist() == [0, 1, 2, 11, 12, 13]
    assert spikes[11:14].tolist() == [-1, -1, -1]


@pytest.mark.parametrize("variant", ["fix", "cons"])
def test_balance_never_falls_below_zero(variant: str, run, transient) -> None:
    spikes, _ = run(SpikeCalibrated(5, 1, variant), transient(200, 200))
    assert (spikes == -1).any()
    assert spikes.cumsum(0).min() == 0
    assert spikes.min() == -1
