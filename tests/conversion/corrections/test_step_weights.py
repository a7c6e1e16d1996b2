"""Weights, thresholds and biases of steps, found on the spike trains that arrive."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from conversion import RecipeError, SpikingNetwork, convert
from conversion.corrections import StepWeights
from conversion.corrections.step_search import Seen, choose_weights, patterns, refine, right_means
from conversion.neurons import Shrinking

T = 3


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randn(60, 3, 6, 6, generator=torch.Generator().manual_seed(4))


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(
        *(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(288, 4)),
    ).eval()


def seen(gamma: int, signed: bool = True, early: float = 0.0) -> Seen:
    """Estimates that come nearer to what is wanted from step to step."""
    generator = torch.Generator().manual_seed(gamma)
    drive = torch.randn(5, 400, generator=generator) + torch.linspace(-1, 1, 5)[:, None]
    noise = torch.randn(T, 5, 400, generator=generator) * torch.tensor([0.6, 0.3, 0.1])[:, None, None]
    return Seen(drive + noise + 0.2, drive.clamp(min=0), T, gamma, signed, early)


@pytest.mark.parametrize("gamma", [1, 2, 4])
@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_weights_that_are_tried_are_powers_of_two_without_gaps(gamma: int, signed: bool, steps: int) -> None:
    found = patterns(steps, gamma, signed)
    assert len(set(found)) == len(found)
    assert len(set(found[0])) == 1  # not shrinking at all comes first
    for weights in found:
        shares = torch.tensor(weights) / weights[0]
        assert torch.equal(shares.log2(), shares.log2().round())
        assert all(after <= before <= (2 * gamma + 1) * after for before, after in pairwise(weights))
        assert sum(weights) + signed * weights[0] == pytest.approx(steps)
    assert steps == 1 or len(found) > 1


@pytest.mark.parametrize("gamma", [1, 4])
@pytest.mark.parametrize("signed", [True, False])
def test_the_error_is_that_of_the_neuron(gamma: int, signed: bool) -> None:
    """The search fires its sample as the neuron would."""
    given, threshold = seen(gamma, signed), torch.linspace(0.5, 1.5, 5) / gamma
    shift = torch.linspace(-0.2, 0.2, 3)[:, None].expand(3, 5)
    for weights in patterns(T, gamma, signed):
        errors = given.errors(weights, threshold[None], shift[:, None])[0]
        arrived = (given.estimates + shift[..., None]).diff(dim=0, prepend=torch.zeros(1, 5, 400))
        neuron = Shrinking(gamma, signed, weights)
        driven = arrived * T / threshold[:, None]
        spikes, _ = neuron.scan(driven, T, neuron.start(torch.full((5, 400), 0.5)))
        sent = spikes.mean(0) * threshold[:, None]
        torch.testing.assert_close((sent - given.wanted).square().mean(1), errors)


def test_means_are_right_after_the_shift() -> None:
    given = seen(4)
    moved = (given.estimates + right_means(given)[..., None]).clamp(min=0).mean(2)
    torch.testing.assert_close(moved, given.wanted.mean(1).expand(T, 5), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("early", [0.0, 0.6])
def test_refining_never_makes_it_worse_and_reports_the_truth(early: float) -> None:
    given = seen(1, early=early)
    most = given.wanted.amax(1)
    chosen = choose_weights(given, most, torch.linspace(0.4, 1.2, 5), right_means(given), torch.inf)
    refined = refine(given, chosen, 3, torch.inf, shifts=True)
    assert (refined.errors <= chosen.errors).all()
    assert refined.errors.sum() < 0.95 * chosen.errors.sum()
    again = given.errors(refined.weights, refined.threshold[None], refined.shift[:, None])[0]
    torch.testing.assert_close(again, refined.errors)


def test_what_is_known_at_once_takes_the_steepest_weights_that_pay() -> None:
    """Against all of them: the finest grid wins where no estimate ever changes."""
    given = seen(1)
    known = Seen(given.estimates[-1:], given.wanted, T, 1, True, 0.0)
    chosen = choose_weights(
        known, given.wanted.amax(1), torch.linspace(0.3, 1.3, 11), torch.zeros(T, 5), torch.inf
    )
    assert chosen.weights == patterns(T, 1, True)[-1]


def test_no_threshold_is_above_the_bound_of_an_activation() -> None:
    given = seen(4)
    chosen = choose_weights(given, torch.ones(5), torch.tensor([0.5, 2.0]), right_means(given), 0.7)
    assert (refine(given, chosen, 3, 0.7, shifts=True).threshold <= 0.7).all()


@pytest.mark.parametrize("preset", ["spikemark-shrinking", "spikemark-shrinking-signed"])
def test_it_is_nearer_to_the_ann_than_rate_matching_of_the_same_alphabet(preset, network, images) -> None:
    older = {"spikemark-shrinking": "spikemark", "spikemark-shrinking-signed": "spikemark-signed"}[preset]
    fresh = torch.randn(60, 3, 6, 6, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        ann = network(fresh)
    errors = [
        float((convert(network, name, images, time_steps=T)(fresh, T) - ann).norm())
        for name in (preset, older)
    ]
    assert errors[0] < 0.8 * errors[1]


def test_layers_have_weights_of_their_own_and_the_first_knows_its_input_at_once(network, images) -> None:
    snn = convert(network, "spikemark-shrinking", images, time_steps=T).at(T)
    assert isinstance(snn, SpikingNetwork)
    first, *later = (layer.neuron for layer in snn.layers.values())
    assert isinstance(first, Shrinking)
    assert first.gains == (T, 0, 0)
    for neuron in (first, *later):
        assert isinstance(neuron, Shrinking)
        assert len(neuron.weights) == len(neuron.bias) == T
        assert len(neuron.bias[0]) == 8
    assert all(neuron.gains == () for neuron in later)


def test_images_of_other_sizes_follow(network, images) -> None:
    convolutions = network[:6]
    snn = convert(convolutions, "spikemark-shrinking", images, time_steps=T)
    larger = torch.randn(4, 3, 9, 7, generator=torch.Generator().manual_seed(6))
    with torch.no_grad():
        ann = convolutions(larger)
    assert float((snn(larger, T) - ann).norm() / ann.norm()) < 0.2


def test_no_more_than_t_steps_are_run_and_spikes_are_whole(network, images) -> None:
    snn = convert(network, "spikemark-shrinking", images, time_steps=T)
    (readout,) = snn.simulate(images[:5], T)
    assert readout.t_total == T
    for spikes in readout.activity.spikes.values():
        assert spikes == round(spikes)


def test_other_neurons_are_refused(network, images) -> None:
    with pytest.raises(RecipeError, match="neuron 'burst' has no weights of steps"):
        convert(network, {"preset": "spikemark-shrinking", "neuron": "burst"}, images, time_steps=T)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"low": 1.5}, "low <= 1 <= high"),
        ({"early": 1.5}, "early must be in"),
        ({"rounds": -1}, "rounds must not be negative"),
        ({"samples": 0}, "samples must be at least 1"),
    ],
)
def test_bad_parameters_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        StepWeights(**settings)
