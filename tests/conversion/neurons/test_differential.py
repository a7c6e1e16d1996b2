import copy

import pytest
import torch
from torch import Tensor, nn

from conversion import ConversionError, RecipeError, convert
from conversion.diagnosis.diagnostics import diagnose
from conversion.neurons import DifferentialMultiThreshold


class Clock:
    """Step 0 is the bias step."""

    t = 0


class Neurons(nn.Module):
    """A layer in place of a ReLU: the published equations in the activation's own units, with memory M."""

    def __init__(self, clock: Clock, smallest: Tensor, levels: int, share: float, v0: float) -> None:
        super().__init__()
        self.clock, self.share, self.v0 = clock, share, v0
        self.thetas = [smallest * 2.0**k for k in range(levels)]  # smallest first

    def forward(self, x: Tensor) -> Tensor:
        t = self.clock.t
        if t == 0:
            self.c, self.E = x, x
            self.O, self.M = torch.zeros_like(x), torch.zeros_like(x)
            self.v = self.v0 * self.thetas[0].expand_as(x)
            return torch.zeros_like(x)
        self.v = self.v + (x - self.c) + self.E
        self.v = self.v - self.O
        self.M = self.M + self.O
        sent = torch.zeros_like(x)
        for theta in self.thetas:  # the largest one stays
            sent = torch.where(self.v >= self.share * theta, theta, sent)
            take_back = (self.v <= -self.share * theta) & (theta * (1 - 1e-9) <= self.M)
            sent = torch.where(take_back, -theta, sent)
        self.v = self.v - sent
        self.M = self.M + sent
        self.E = self.E + (x - self.c) / t
        self.O = self.O + sent / t
        return sent


class Pool(nn.Module):
    """A max pooling that sends what changes its own maximum of running estimates."""

    def __init__(self, clock: Clock, pool: nn.Module) -> None:
        super().__init__()
        self.clock, self.pool = clock, pool

    def forward(self, x: Tensor) -> Tensor:
        t = self.clock.t
        if t == 0:
            self.c = self.A = x
            self.P = self.rest = self.pool(x)
            return self.rest
        self.A = self.A + (x - self.c) / t
        before, self.P = self.P, self.pool(self.A)
        return self.rest + t * (self.P - before)


class Mixed(nn.Module):
    """Pooling of currents with biases, residual sum, concatenation with the image, pooling of all."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.pool, self.first = nn.Conv2d(3, 6, 3, padding=1), nn.MaxPool2d(3, 2, 1), nn.ReLU()
        self.left, self.second = nn.Conv2d(6, 6, 3, padding=1), nn.ReLU()
        self.right, self.third = nn.Conv2d(6, 6, 3, padding=1), nn.ReLU()
        self.shrink, self.last_pool = nn.AvgPool2d(2), nn.MaxPool2d(2)
        self.head = nn.Linear(9 * 4, 5)

    def forward(self, image: Tensor) -> Tensor:
        x = self.first(self.pool(self.stem(image)))
        x = self.third(self.right(self.second(self.left(x))) + x)
        x = self.last_pool(torch.cat([x, self.shrink(image)], 1))
        return self.head(x.flatten(1))


def stepped(ann: nn.Module, snn, images: Tensor, steps: int) -> list[Tensor]:
    """Read-outs c + Σ (x_t - c) / t of the network with those modules."""
    clock, neuron, v0 = Clock(), snn.recipe.neuron, snn.recipe.initial.value
    twin = copy.deepcopy(ann)
    for name, module in list(twin.named_modules()):
        if isinstance(module, nn.ReLU):
            smallest = snn.thresholds[name].double()
            twin.set_submodule(name, Neurons(clock, smallest, neuron.levels, neuron.share, v0))
        elif isinstance(module, nn.MaxPool2d):
            twin.set_submodule(name, Pool(clock, module))
    found = []
    with torch.no_grad():
        rest = estimate = twin(torch.zeros_like(images))
        for clock.t in range(1, steps + 1):
            shown = images if clock.t == 1 else torch.zeros_like(images)
            estimate = estimate + (twin(shown) - rest) / clock.t
            found.append(estimate)
    return found


RECIPES = {
    "four levels": "dcgs",
    "one level": {
        "preset": "dcgs",
        "neuron": {"levels": 1, "share": 1.0},
        "initial": "fraction",
        "scale": {"name": "percentile", "p": 0.99, "per_channel": True},
    },
}


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES.keys())
@pytest.mark.parametrize("network", ["branchy", "mixed"])
def test_network_equals_the_published_equations(recipe, network: str, branchy, images, calibration) -> None:
    ann = branchy if network == "branchy" else Mixed().double().eval()
    snn = convert(ann, recipe, calibration)
    expected = stepped(ann, snn, images, 14)
    for chunk in (1, 4, 16):
        for readout in snn.simulate(images, range(1, 15), chunk):
            torch.testing.assert_close(readout.output, expected[readout.t - 1], rtol=1e-7, atol=1e-7)
            assert readout.t_total == readout.t + 1  # the bias step


def test_read_out_approaches_the_ann_much_faster_than_rates(branchy, images, calibration) -> None:
    with torch.no_grad():
        expected = branchy(images)

    def error(recipe: str, t: int) -> float:
        (readout,) = convert(branchy, recipe, calibration).simulate(images, (t,))
        return float((readout.output - expected).norm() / expected.norm())

    assert error("dcgs", 16) < error("opi", 16) / 5
    exact = {"preset": "dcgs", "scale": {"name": "maximum", "per_channel": True}}
    assert error(exact, 128) < 0.01


def test_neuron_that_is_right_stays_silent(run) -> None:
    neuron = DifferentialMultiThreshold(4)
    current = torch.zeros(12, 1, 1)
    current[0] = 8  # an input of 8 smallest levels, which never changes again
    spikes, v = run(neuron, current)
    assert spikes.flatten().tolist() == [8] + [0] * 11
    assert v.item() == 0


def test_membrane_is_what_the_estimates_owe_and_output_is_never_negative(transient) -> None:
    neuron, current = DifferentialMultiThreshold(3), transient(60, 100)
    state = neuron.at_rest(current[0] / 3, neuron.start(torch.full_like(current[0], 0.25)))
    rest, negative = current[0] / 3, 0
    for t in range(1, 61):
        spikes, state = neuron.scan(current[t - 1 : t], 1, state)
        negative += int((spikes < 0).sum())
        torch.testing.assert_close(state["v"] - 0.25, t * (state["input"] - state["output"]))
        assert state["output"].min() > -1e-3
        told = rest + sum((current[k - 1] - rest) / k for k in range(1, t + 1))
        torch.testing.assert_close(state["input"], told)
    assert negative > 100


def test_levels_are_the_nearest_powers_of_two(run) -> None:
    values = torch.tensor([0.7, 0.75, 1.4, 1.5, 2.9, 3.0, 5.9, 6.0, 100.0]).view(1, 1, -1)
    spikes, _ = run(DifferentialMultiThreshold(4), values)
    assert spikes.flatten().tolist() == [0, 1, 1, 2, 2, 4, 4, 8, 8]
    assert DifferentialMultiThreshold(4).events(spikes).sum() == 8


def test_what_needs_rates_is_refused(branchy, images, calibration) -> None:
    with pytest.raises(ConversionError, match=r"'dcgs': .*coded by differential; only rates can be compared"):
        diagnose(branchy, convert(branchy, "dcgs", calibration), images, (4,))
    with pytest.raises(
        RecipeError, match=r"pooling 'gate' of layer 'pool' .*; use pooling lateral-inhibition"
    ):
        convert(branchy, {"preset": "dcgs", "pooling": "gate"}, calibration)
    with pytest.raises(RecipeError, match="'delayed' needs spikes that mean the same in every step"):
        convert(branchy, {"preset": "dcgs", "readout": "delayed"}, calibration)
