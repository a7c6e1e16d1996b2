import pytest
import torch
from torch import Tensor

from conversion.neurons import Burst, IntegrateAndFire, Neuron, SpikeCalibrated, scan

NEURONS = [
    IntegrateAndFire(),
    Burst(2),
    Burst(5),
    SpikeCalibrated(5, 4, "cons"),
    SpikeCalibrated(2, 3, "fix"),
    SpikeCalibrated(1, 6, "code"),
]
CONSERVING = [IntegrateAndFire(), Burst(1), Burst(5), SpikeCalibrated(5, 2, "cons")]


def name_of(neuron: Neuron) -> str:
    return "-".join(str(value) for value in neuron.as_dict().values())


def run(neuron: Neuron, current: Tensor, v0: float = 0.0, steps: int | None = None) -> tuple[Tensor, Tensor]:
    state = neuron.start(torch.full_like(current[0], v0))
    spikes, state = scan(neuron, current, steps or len(current), state)
    return spikes, state["v"]


def transient(steps: int, neurons: int) -> Tensor:
    """Currents that start high and turn negative, so that neurons fire first and then regret it."""
    drift = torch.linspace(0.8, -0.4, steps, dtype=torch.float64)[:, None, None]
    return drift + 2 * torch.randn(steps, 2, neurons, dtype=torch.float64)


@pytest.mark.parametrize("neuron", CONSERVING, ids=name_of)
def test_soft_reset_conserves_charge(neuron: Neuron) -> None:
    current = transient(80, 50)
    spikes, v = run(neuron, current, v0=0.3)
    torch.testing.assert_close(current.sum(0), spikes.sum(0) + (v - 0.3))
    assert spikes.max() == neuron.max_per_step
    assert (spikes < 0).any() == (neuron.alphabet == "signed")


def test_fix_breaks_conservation_by_one_threshold_a_retraction(scalar_neuron) -> None:
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


@pytest.mark.parametrize("steps", [1, 7, 64])
@pytest.mark.parametrize("v0", [0.0, 0.25, 0.5, 1.0])
def test_count_under_constant_current_is_a_clipped_floor(steps: int, v0: float) -> None:
    z = torch.arange(-32, 64, dtype=torch.float64) / 32  # exact in binary
    spikes, _ = run(IntegrateAndFire(), z.view(1, 1, -1), v0, steps)
    expected = (z * steps + v0).floor().clamp(0, steps)
    assert torch.equal(spikes.sum(0)[0], expected)


@pytest.mark.parametrize("gamma", [1, 2, 5])
def test_count_of_a_burst_neuron_is_clipped_at_gamma_a_step(gamma: int) -> None:
    z = torch.arange(-16, 128, dtype=torch.float64) / 16
    spikes, _ = run(Burst(gamma), z.view(1, 1, -1), 0.5, 40)
    assert torch.equal(spikes.sum(0)[0], (z * 40 + 0.5).floor().clamp(0, 40 * gamma))
    assert spikes.max() == gamma


@pytest.mark.parametrize("neuron", NEURONS, ids=name_of)
@pytest.mark.parametrize("v0", [0.0, 0.5])
def test_neuron_equals_counting_one_number_at_a_time(neuron: Neuron, v0: float, scalar_neuron) -> None:
    current = transient(60, 30)
    spikes, v = run(neuron, current, v0)
    settings = neuron.as_dict()
    for image in range(2):
        for index in range(30):
            alone = scalar_neuron(
                v0, settings.get("gamma", 1), settings.get("allowance", 0), settings.get("variant")
            )
            expected = [alone(x) for x in current[:, image, index].tolist()]
            assert spikes[:, image, index].tolist() == expected
            assert v[image, index].item() == pytest.approx(alone.v, abs=1e-12)


def delivered(variant: str, allowance: int, firing: range, steps: int = 64) -> tuple[float, Tensor]:
    current = torch.zeros(steps, 1, 1)
    current[list(firing)] = 1.0
    spikes, _ = run(SpikeCalibrated(5, allowance, variant), current)
    return spikes.sum().item(), spikes.flatten()


def test_late_neuron_is_muted_by_the_public_code_and_kept_by_the_fix() -> None:
    late = range(20, 64, 4)
    assert len(late) == 11
    assert delivered("code", 8, late)[0] == 1
    assert delivered("fix", 8, late)[0] == 11
    assert delivered("cons", 8, late)[0] == 11


@pytest.mark.parametrize(
    ("variant", "allowance", "expected"), [("code", 8, 0), ("code", 32, 4), ("fix", 8, 4), ("fix", 32, 4)]
)
def test_slow_regular_neuron(variant: str, allowance: int, expected: int) -> None:
    assert delivered(variant, allowance, range(15, 64, 16))[0] == expected


def test_neuron_that_falls_silent_takes_back_all_it_sent_and_no_more() -> None:
    # Fires at 0, 1, 2: mean interval 2/3, so silence of more than 8 2/3 steps is too long.
    total, spikes = delivered("fix", 8, range(3))
    assert total == 0
    assert spikes.nonzero().flatten().tolist() == [0, 1, 2, 11, 12, 13]
    assert spikes[11:14].tolist() == [-1, -1, -1]


@pytest.mark.parametrize("variant", ["fix", "cons"])
def test_balance_never_falls_below_zero(variant: str) -> None:
    spikes, _ = run(SpikeCalibrated(5, 1, variant), transient(200, 200))
    assert (spikes == -1).any()
    assert spikes.cumsum(0).min() == 0
    assert spikes.min() == -1


@pytest.mark.parametrize("neuron", NEURONS, ids=name_of)
@pytest.mark.parametrize("seed", range(4))
def test_chunks_of_any_length_make_one_scan(neuron: Neuron, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    current = transient(48, 12)
    start = neuron.start(torch.rand(2, 12, generator=generator, dtype=torch.float64))
    whole, end = scan(neuron, current, 48, start)
    parts, state, now = [], start, 0
    while now < 48:
        length = min(int(torch.randint(1, 9, (), generator=generator)), 48 - now)
        spikes, state = scan(neuron, current[now : now + length], length, state)
        parts.append(spikes)
        now += length
    assert torch.equal(torch.cat(parts), whole)
    assert all(torch.equal(state[key], end[key]) for key in end)


@pytest.mark.parametrize("neuron", NEURONS, ids=name_of)
def test_constant_current_equals_the_same_current_repeated(neuron: Neuron) -> None:
    current = torch.randn(1, 3, 7, dtype=torch.float64)
    constant, _ = run(neuron, current, 0.5, 30)
    repeated, _ = run(neuron, current.repeat(30, 1, 1), 0.5)
    assert constant.shape == (30, 3, 7)
    assert torch.equal(constant, repeated)


@pytest.mark.parametrize("neuron", NEURONS, ids=name_of)
def test_scan_leaves_currents_and_state_as_they_were(neuron: Neuron) -> None:
    current = transient(20, 5)
    state = scan(neuron, current, 20, neuron.start(torch.zeros_like(current[0])))[1]
    before = {key: value.clone() for key, value in state.items()}
    kept = current.clone()
    scan(neuron, current, 20, state)
    assert all(torch.equal(state[key], before[key]) for key in before)
    assert torch.equal(current, kept)


@pytest.mark.parametrize(
    ("neuron", "alphabet"),
    [
        (IntegrateAndFire(), "binary"),
        (Burst(1), "binary"),
        (Burst(5), "burst"),
        (SpikeCalibrated(1), "signed"),
    ],
)
def test_alphabet(neuron: Neuron, alphabet: str) -> None:
    assert neuron.alphabet == alphabet


@pytest.mark.parametrize(
    ("cls", "settings", "message"),
    [
        (Burst, {"gamma": 0}, "gamma must be at least 1, got 0"),
        (SpikeCalibrated, {"gamma": 0}, "gamma must be at least 1, got 0"),
        (SpikeCalibrated, {"allowance": -1}, "allowance must not be negative, got -1"),
        (SpikeCalibrated, {"variant": "paper"}, "variant must be fix, cons or code, got paper"),
    ],
)
def test_bad_parameters_are_refused(cls, settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cls(**settings)
