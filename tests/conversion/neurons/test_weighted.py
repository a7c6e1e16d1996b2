import pytest
import torch
from torch import nn

from conversion import RecipeError, convert
from conversion.diagnosis.diagnostics import diagnose
from conversion.neurons import TemporalWeight


@pytest.mark.parametrize("steps", [1, 2, 5, 10])
@pytest.mark.parametrize("constant", [True, False])
def test_window_decodes_to_the_nearest_of_its_levels(steps: int, constant: bool, run, transient) -> None:
    current = transient(steps, 200) / 2 + 0.5
    if constant:
        current = current[:1]
    spikes, _ = run(TemporalWeight(), current, 0.5, steps)
    levels = 2**steps - 1
    z = current.mean(0)
    expected = torch.floor(z * levels + 0.5).clamp(0, levels) / levels
    torch.testing.assert_close(spikes.mean(0), expected)


def test_published_form_with_weighted_input_and_binary_spikes(run) -> None:
    # Two neurons in a row as published: inputs are weighted by R_t, then compared with R_t.
    steps, weight, bias = 6, 0.75, 0.125
    rhythm = [2 ** (steps - 1 - t) for t in range(steps)]
    z = torch.arange(-64, 128, dtype=torch.float64).view(1, 1, -1) / 64
    first, _ = run(TemporalWeight(), z, 0.5, steps)
    second, _ = run(TemporalWeight(), first * weight + bias, 0.5)
    for index, value in enumerate(z.flatten().tolist()):
        top = sum(rhythm)
        v, bits = value * top + 0.5, []
        for r in rhythm:
            bits.append(v >= r)
            v -= r * bits[-1]
        assert (first[:, 0, index] > 0).tolist() == bits
        v = sum(r * (weight * bit + bias) for r, bit in zip(rhythm, bits, strict=True)) + 0.5
        for t, r in enumerate(rhythm):
            assert bool(second[t, 0, index] > 0) == (v >= r)
            v -= r * (v >= r)


def test_many_steps_lose_no_digits(run) -> None:
    z = torch.rand(1, 1, 50)
    spikes, _ = run(TemporalWeight(), z, 0.5, 64)
    torch.testing.assert_close(spikes.mean(0), z[0], rtol=1e-5, atol=1e-6)


def test_network_is_the_quantised_ann(branchy, images, calibration) -> None:
    recipe = {"preset": "tdif", "scale": {"name": "maximum", "per_channel": True}}
    with torch.no_grad():
        expected = branchy(images)
    snn = convert(branchy, recipe, torch.cat([calibration, images]))
    errors = {r.t: float((r.output - expected).norm()) for r in snn.simulate(images, (3, 6, 12))}
    assert errors[6] < errors[3] / 4
    assert errors[12] < errors[6] / 16


def test_every_layer_adds_a_window_of_latency(branchy, images, calibration) -> None:
    snn = convert(branchy, "tdif", calibration)
    depth = 4  # stem, left, joined, side
    assert snn.plan.depth == depth
    assert [(r.t, r.t_total) for r in snn.simulate(images, (2, 5))] == [
        (2, 2 + 2 * depth),
        (5, 5 + 5 * depth),
    ]


def test_spikes_are_counted_once_each() -> None:
    network = nn.Sequential(nn.Linear(1, 1, bias=False), nn.ReLU(), nn.Linear(1, 3))
    nn.init.ones_(network[0].weight)
    images = torch.tensor([[10 / 15], [0.0], [1.0]])
    snn = convert(network, {"preset": "tdif", "scale": "maximum"}, images)
    (readout,) = snn.simulate(images, (4,))
    assert readout.activity.spikes == {"1": 2 + 0 + 4}  # 10 is 1010, 15 is 1111
    assert readout.activity.synops["2"] == 3 * 6


@pytest.mark.parametrize("preset", ["tdif", "delay-spike"])
def test_a_whole_window_leaves_no_unevenness(preset: str, branchy, images, calibration) -> None:
    recipe = {"preset": preset, "pooling": "lateral-inhibition"}
    seen = set()
    for row in diagnose(branchy, convert(branchy, recipe, calibration), images, (2, 6)).rows:
        # What comes from rounding of sums that lie on a threshold.
        assert row.absolute.unevenness < 0.01 * row.absolute_error
        seen.add(row.t)
    assert seen == {2, 6}
    rows = diagnose(branchy, convert(branchy, "opi", calibration), images, (6,)).rows
    assert max(row.absolute.unevenness for row in rows) > 0.05 * rows[-1].absolute_error


def test_rules_that_run_steps_before_are_refused(branchy, calibration) -> None:
    with pytest.raises(RecipeError, match="'temporal-weight' waits for a whole window"):
        convert(branchy, {"preset": "tdif", "scale": "percentile", "initial": "residual"}, calibration)
