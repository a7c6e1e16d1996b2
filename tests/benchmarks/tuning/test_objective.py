"""What a trial measures, against slow and plain counterparts."""

import math

import pytest
import torch
from torch import nn

from benchmarks.errors import TuningError
from benchmarks.tuning.objective import TuningSubject, divergence, read_at
from conversion import convert, recipe_from
from lightning_modules.metrics import ClassificationMetric


def naive_kl(p_logits, q_logits):
    """KL divergence of two lists of logits, by its definition."""
    p = [math.exp(x) for x in p_logits]
    q = [math.exp(x) for x in q_logits]
    p, q = [x / sum(p) for x in p], [x / sum(q) for x in q]
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(6, 6, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(96, 3),
    ).eval()


@pytest.fixture
def images():
    return torch.rand(20, 1, 6, 6, generator=torch.Generator().manual_seed(1))


def subject_of(network, images, **options):
    return TuningSubject(network, images.split(8), [(part, None) for part in images.split(7)], **options)


def test_divergence_is_the_mean_over_images():
    p, q = torch.randn(5, 4, generator=torch.Generator().manual_seed(2)), torch.zeros(5, 4)
    expected = sum(naive_kl(p[i].tolist(), q[i].tolist()) for i in range(5)) / 5
    assert divergence(p, q) == pytest.approx(expected, rel=1e-5)
    assert divergence(p, p) == pytest.approx(0, abs=1e-7)


def test_divergence_of_dense_outputs_is_the_mean_over_locations():
    generator = torch.Generator().manual_seed(3)
    p, q = torch.randn(2, 4, 3, 2, generator=generator), torch.randn(2, 4, 3, 2, generator=generator)
    places = [(i, y, x) for i in range(2) for y in range(3) for x in range(2)]
    expected = sum(naive_kl(p[i, :, y, x].tolist(), q[i, :, y, x].tolist()) for i, y, x in places) / 12
    assert divergence(p, q) == pytest.approx(expected, rel=1e-5)


def test_divergences_of_several_outputs_add():
    p, q = torch.randn(2, 4), torch.zeros(2, 4)
    assert divergence({"a": p, "b": [p]}, {"a": q, "b": [q]}) == pytest.approx(2 * divergence(p, q))


def test_an_output_without_classes_is_refused():
    with pytest.raises(TuningError, match="objective: metric"):
        divergence(torch.zeros(4, 1), torch.zeros(4, 1))


@pytest.mark.parametrize("recipe", ["opi", "burst", "spicalib"])
def test_readings_are_those_of_a_fresh_conversion(network, images, recipe):
    chosen = recipe_from(recipe)
    found = list(subject_of(network, images).readings(chosen, 6))
    assert [reading.t for reading in found] == [1, 2, 4, 6]
    snn = convert(network, chosen, images.split(8))
    for reading, readout in zip(found, snn.simulate(images, (1, 2, 4, 6)), strict=True):
        with torch.no_grad():
            expected = [
                naive_kl(p.tolist(), q.tolist()) for p, q in zip(network(images), readout.output, strict=True)
            ]
        assert reading.value == pytest.approx(sum(expected) / 20, rel=1e-3, abs=1e-5)
        assert reading.image_steps == 20 * reading.t


def test_trials_do_not_change_each_other(network, images):
    subject = subject_of(network, images)

    def last(name):
        return list(subject.readings(recipe_from(name), 4))[-1].value

    before = {name: last(name) for name in ("burst", "opi")}
    last("ptq")  # rounds weights
    assert {name: last(name) for name in before} == before


def test_a_metric_is_that_of_the_task(network, images):
    labels = torch.arange(20) % 3
    batches = list(zip(images.split(7), labels.split(7), strict=True))
    subject = TuningSubject(network, [images], batches, lambda: ClassificationMetric(3))
    assert (subject.measure, subject.maximise) == ("top1", True)
    reading = list(subject.readings(recipe_from("opi"), 8))[-1]
    output = convert(network, "opi", images)(images, 8)
    assert reading.value == pytest.approx(float((output.argmax(1) == labels).double().mean()))


def test_what_is_fitted_for_each_t_is_read_out_once():
    assert read_at(recipe_from("burst"), 12) == [1, 2, 4, 8, 12]
    assert read_at(recipe_from("ptq"), 12) == [12]
    assert read_at(recipe_from({"preset": "opi", "initial": "shift"}), 12) == [12]
    assert read_at(recipe_from("opi"), 1) == [1]


def test_what_does_not_spike_costs_one_pass(network, images):
    (reading,) = subject_of(network, images).readings(recipe_from("ptq"), 16)
    assert reading.image_steps == 20


def test_energy_is_relative_to_the_ann(network, images):
    low, high = (list(subject_of(network, images).readings(recipe_from("opi"), t))[-1] for t in (1, 32))
    assert 0 < low.energy_ratio < high.energy_ratio
    first = network[0].weight.numel() * 36  # multiply-accumulates of the layer that sees the image
    macs = first + network[2].weight.numel() * 16 + network[5].weight.numel()
    assert low.energy_ratio >= first / macs
