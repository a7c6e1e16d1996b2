"""Laws that hold for every neuron, or for all neurons of a kind."""

import pytest
import torch

from conversion.neurons import (
    AdaptiveThreshold,
    BipolarIntegrateAndFire,
    Burst,
    DelaySpike,
    DifferentialBothSigns,
    DifferentialMultiThreshold,
    FewSpikes,
    ImbalancedThreshold,
    Integer,
    IntegrateAndFire,
    MirroredMultiThreshold,
    MultiThreshold,
    Neuron,
    Parallel,
    Shrinking,
    SignDescent,
    Signed,
    SpikeCalibrated,
    TemporalWeight,
    TimedBias,
    TimestepCompression,
    TwoPhase,
    TwoSided,
)
from conversion.neurons.tracking import SignedMultiThreshold, Tracking
from conversion.parts import build_part, part_names

COUNTING = [  # as `scalar_neuron` counts
    IntegrateAndFire(),
    Burst(2),
    Burst(5),
    SpikeCalibrated(5, 4, "cons"),
    SpikeCalibrated(2, 3, "fix"),
    SpikeCalibrated(1, 6, "code"),
]
STEPPING = [
    *COUNTING,
    Signed(),
    Signed(4, 0.0, 3),
    ImbalancedThreshold(0.0),
    ImbalancedThreshold(0.25),
    AdaptiveThreshold(),
    AdaptiveThreshold(2, 0.03, membrane_gain=1.0, current_gain=1.0),
    MultiThreshold(3),
    DifferentialMultiThreshold(3),
    DifferentialMultiThreshold(1, 1.0),
    Integer(3),
    Integer(4, 0.25),
    Tracking(),
    SignedMultiThreshold(),
    TwoSided(),
    TwoSided(3, -1.0),
    MirroredMultiThreshold(3),
    DifferentialBothSigns(3),
    TimedBias(bias=((0.25,), (-0.25,))),
    BipolarIntegrateAndFire(3),
    BipolarIntegrateAndFire(3, 2),
    SignDescent(),
    SignDescent(0.8, 1),
    TimedBias(Burst(3), ((0.5,), (-0.25,), (1.0,))),
]
WHOLE = [
    FewSpikes(),
    TemporalWeight(),
    DelaySpike(),
    DelaySpike(5),
    TimestepCompression(),
    TimestepCompression(3, 0.8),
    Parallel(),
    Shrinking(),
    Shrinking(1, signed=False),
]
AT_RANDOM = [TwoPhase(), TwoPhase(5)]  # by the place of a neuron in its layer
NEURONS = [*STEPPING, *WHOLE, *AT_RANDOM]
CONSERVING = [
    IntegrateAndFire(),
    Burst(1),
    Burst(5),
    SpikeCalibrated(5, 2, "cons"),
    Signed(),
    Signed(1, 0.0),
    Signed(3, -0.5, 2),
    AdaptiveThreshold(),
    MultiThreshold(2),
    Integer(3),
    DelaySpike(),
    DelaySpike(7),
    TimestepCompression(3, 0.9),
    Tracking(3),
    TwoSided(),
    TwoSided(4, -0.5),
    Parallel(),
    TwoPhase(),
    TimedBias(Burst(2)),
]


def name_of(neuron: Neuron) -> str:
    return "-".join(str(value) for value in neuron.as_dict().values())


def test_every_registered_neuron_is_looked_at_here() -> None:
    neurons = {build_part("neuron", name) for name in part_names("neuron") if name != "quantiser"}
    assert {type(neuron) for neuron in neurons} == {type(neuron) for neuron in NEURONS}


@pytest.mark.parametrize("neuron", CONSERVING, ids=name_of)
def test_soft_reset_conserves_charge(neuron: Neuron, run, transient) -> None:
    current = transient(80, 50)
    if isinstance(neuron, TimestepCompression):  # its initial membrane counts in its last threshold
        current = current[:10]
        v0 = 0.3 * float(neuron.thresholds(10)[-1])
    else:
        v0 = 0.3
    spikes, v = run(neuron, current, v0=0.3)
    torch.testing.assert_close(current.sum(0), spikes.sum(0) + (v - v0))
    assert spikes.any()
    assert (spikes < 0).any() == (neuron.alphabet == "signed")
    if neuron.integral:
        assert spikes.max() == neuron.max_per_step


EXACT = [
    IntegrateAndFire(),
    Burst(2),
    Burst(5),
    Signed(),
    Signed(3, 0.0, 2),
    ImbalancedThreshold(0.25),
    ImbalancedThreshold(0.0),
    MultiThreshold(2),
    Integer(2),
    FewSpikes(),
    TemporalWeight(),
    DelaySpike(),
    Parallel(),
    TimestepCompression(3, 1.0),
    Tracking(2),
    TwoSided(),
    TwoSided(3, -1.0),
    MirroredMultiThreshold(2),
]


@pytest.mark.parametrize("neuron", EXACT, ids=name_of)
@pytest.mark.parametrize("steps", [1, 7, 16])
@pytest.mark.parametrize("v0", [0.0, 0.25, 0.5])
def test_constant_current_gives_the_closed_form(neuron: Neuron, steps: int, v0: float, run) -> None:
    z = torch.arange(-96, 192, dtype=torch.float64) / 32  # exact in binary
    spikes, _ = run(neuron, z.view(1, 1, -1), v0, steps)
    torch.testing.assert_close(spikes.sum(0)[0], neuron.constant(z * steps, v0, steps))


@pytest.mark.parametrize("gamma", [1, 2, 5])
@pytest.mark.parametrize("steps", [1, 7, 64])
@pytest.mark.parametrize("v0", [0.0, 0.25, 0.5])
def test_rate_is_a_clipped_floor(gamma: int, steps: int, v0: float, run) -> None:
    z = torch.arange(-32, 224, dtype=torch.float64) / 32
    for neuron in (Burst(gamma), Signed(gamma)):
        spikes, _ = run(neuron, z.view(1, 1, -1), v0, steps)
        assert torch.equal(spikes.sum(0)[0], (z * steps + v0).floor().clamp(0, gamma * steps))
        assert spikes.max() == gamma


@pytest.mark.parametrize("neuron", COUNTING, ids=name_of)
@pytest.mark.parametrize("v0", [0.0, 0.5])
def test_neuron_equals_counting_one_number_at_a_time(
    neuron: Neuron, v0: float, scalar_neuron, run, transient
) -> None:
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


@pytest.mark.parametrize("neuron", STEPPING, ids=name_of)
@pytest.mark.parametrize("seed", range(4))
def test_chunks_of_any_length_make_one_scan(neuron: Neuron, seed: int, transient) -> None:
    generator = torch.Generator().manual_seed(seed)
    current = transient(48, 12)
    start = neuron.start(torch.rand(2, 12, generator=generator, dtype=torch.float64))
    start = neuron.at_rest(current[0] / 2, start)
    whole, end = neuron.scan(current, 48, start)
    parts, state, now = [], start, 0
    while now < 48:
        length = min(int(torch.randint(1, 9, (), generator=generator)), 48 - now)
        spikes, state = neuron.scan(current[now : now + length], length, state)
        parts.append(spikes)
        now += length
    assert torch.equal(torch.cat(parts), whole)
    assert all(torch.equal(state[key], end[key]) for key in end)


@pytest.mark.parametrize("neuron", [*STEPPING, *WHOLE], ids=name_of)
def test_no_neuron_looks_at_another(neuron: Neuron, run, transient) -> None:
    current = transient(12, 5)
    together, v = run(neuron, current, 0.5)
    for image in range(2):
        for index in range(5):
            alone, last = run(neuron, current[:, image : image + 1, index : index + 1], 0.5)
            # exponentials of a whole register and of a single number may differ in their last bit
            rounding = {"rtol": 0.0 if neuron.integral else 1e-12, "atol": 0.0}
            torch.testing.assert_close(alone.flatten(), together[:, image, index], **rounding)
            torch.testing.assert_close(last.flatten()[0], v[image, index], **rounding)


@pytest.mark.parametrize("neuron", AT_RANDOM, ids=name_of)
def test_neurons_at_random_look_at_no_other_image(neuron: Neuron, run, transient) -> None:
    current = transient(12, 50)
    together, _ = run(neuron, current, 0.5)
    for image in range(2):
        alone, _ = run(neuron, current[:, image : image + 1], 0.5)
        assert torch.equal(alone[:, 0], together[:, image])
    changed = current.clone()
    changed[:, :, ::2] += 1.0
    others, _ = run(neuron, changed, 0.5)
    assert torch.equal(others[:, :, 1::2], together[:, :, 1::2])


@pytest.mark.parametrize("neuron", NEURONS, ids=name_of)
def test_constant_current_equals_the_same_current_repeated(neuron: Neuron, run) -> None:
    current = torch.randint(-40, 80, (1, 3, 7)).double() / 32  # sums are exact
    constant, _ = run(neuron, current, 0.5, 16)
    repeated, _ = run(neuron, current.repeat(16, 1, 1), 0.5)
    assert constant.shape == (16, 3, 7)
    assert torch.equal(constant, repeated)


@pytest.mark.parametrize("neuron", NEURONS, ids=name_of)
def test_scan_leaves_currents_and_state_as_they_were(neuron: Neuron, transient) -> None:
    current = transient(20, 5)
    state = neuron.scan(current, 20, neuron.start(torch.zeros_like(current[0])))[1]
    before = {key: value.clone() for key, value in state.items()}
    kept = current.clone()
    neuron.scan(current, 20, state)
    assert all(torch.equal(state[key], before[key]) for key in before)
    assert torch.equal(current, kept)


@pytest.mark.parametrize("neuron", NEURONS, ids=name_of)
def test_alphabet_says_what_is_sent(neuron: Neuron, run, transient) -> None:
    spikes, _ = run(neuron, transient(12, 200), 0.5)
    events = neuron.events(spikes)
    assert torch.equal(events, events.round())
    assert torch.equal(events > 0, spikes != 0)
    if neuron.alphabet not in ("signed", "graded"):
        assert spikes.min() == 0
    if neuron.integral:
        assert torch.equal(spikes, spikes.round())
        assert spikes.abs().max() <= neuron.max_per_step
    if neuron.alphabet == "binary":
        assert torch.equal(events, spikes)
        assert spikes.max() == neuron.max_per_step == neuron.steps_per_t
    elif neuron.alphabet == "burst":
        assert torch.equal(events, spikes)
        assert spikes.max() > 1
    elif neuron.alphabet == "weighted":
        sizes = spikes.amax((1, 2))
        assert torch.equal(spikes, (spikes > 0) * sizes.view(-1, 1, 1))
        torch.testing.assert_close(sizes[:-1], 2 * sizes[1:])
    elif neuron.alphabet == "signed":
        assert torch.equal(events, spikes.abs())
    elif neuron.alphabet == "real":
        assert events.max() == 1


@pytest.mark.parametrize(
    ("neuron", "alphabet"),
    [
        (IntegrateAndFire(), "binary"),
        (Burst(1), "binary"),
        (Burst(5), "burst"),
        (SpikeCalibrated(1), "signed"),
        (Signed(), "signed"),
        (ImbalancedThreshold(), "signed"),
        (AdaptiveThreshold(), "real"),
        (MultiThreshold(1), "binary"),
        (MultiThreshold(2), "graded"),
        (DifferentialMultiThreshold(1), "signed"),
        (DifferentialMultiThreshold(2), "graded"),
        (TemporalWeight(), "weighted"),
        (DelaySpike(), "binary"),
        (Parallel(), "binary"),
        (TwoPhase(), "binary"),
        (TimestepCompression(), "graded"),
        (Shrinking(1), "graded"),
        (Integer(), "binary"),
        (TwoSided(), "signed"),
        (BipolarIntegrateAndFire(), "signed"),
        (SignDescent(), "signed"),
        (FewSpikes(), "weighted"),
        (MirroredMultiThreshold(1), "signed"),
        (MirroredMultiThreshold(2), "graded"),
        (DifferentialBothSigns(2), "graded"),
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
        (Signed, {"gamma": 0}, "gamma must be at least 1, got 0"),
        (Signed, {"lower": 0.5}, "lower must not be positive, got 0.5"),
        (Signed, {"back": 0}, "back must be at least 1, got 0"),
        (ImbalancedThreshold, {"slope": 1.0}, r"slope must be in \[0, 1\), got 1.0"),
        (AdaptiveThreshold, {"gamma": 0}, "gamma must be at least 1, got 0"),
        (AdaptiveThreshold, {"k_i": 0.0}, "k_i must be positive, got 0.0"),
        (AdaptiveThreshold, {"c": -1.0}, "c must be positive, got -1.0"),
        (MultiThreshold, {"levels": 0}, r"levels must be in \[1, 16\], got 0"),
        (DifferentialMultiThreshold, {"levels": 17}, r"levels must be in \[1, 16\], got 17"),
        (DifferentialMultiThreshold, {"share": 0.4}, r"share must be in \[0.5, 1\], got 0.4"),
        (DelaySpike, {"wait": -1}, "wait must be positive, or 0 for the whole window, got -1"),
        (TimestepCompression, {"micro_steps": 0}, "micro_steps must be at least 1, got 0"),
        (TimestepCompression, {"last": 1.5}, r"last must be in \(0, 1\], got 1.5"),
        (BipolarIntegrateAndFire, {"levels": 0}, "levels must be at least 1, got 0"),
        (BipolarIntegrateAndFire, {"below": -1}, "below must not be negative, got -1"),
        (SignDescent, {"decay": 0.4}, r"decay must be in \[0.5, 1\), got 0.4"),
        (FewSpikes, {"thresholds": [1.0]}, "thresholds, resets and values must be as many"),
        (SignDescent, {"reach": 0}, "reach must be at least 1, got 0"),
        (TwoSided, {"gamma": 0}, "gamma must be at least 1, got 0"),
        (TwoSided, {"lower": -2.0}, r"lower must be in \[-1, 0\], got -2.0"),
        (MirroredMultiThreshold, {"levels": 17}, r"levels must be in \[1, 16\], got 17"),
        (Integer, {"most": 0}, "most must be at least 1, got 0"),
        (Integer, {"decay": 2.0}, r"decay must be in \[0, 1\], got 2.0"),
    ],
)
def test_bad_parameters_are_refused(cls, settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cls(**settings)
