"""The simulator against a network that really steps: stateful modules in place of ReLU and pooling."""

import copy
import gc
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conversion import SpikingNetwork, convert

RECIPES = {
    "integrate-and-fire": "maxnorm",
    "half full": "opi",
    "channels": {"preset": "maxnorm", "scale": {"name": "percentile", "p": 0.97, "per_channel": True}},
    "burst": "burst",
    "fix": {"preset": "spicalib", "scale": {"p": 0.97}, "neuron": {"gamma": 2, "allowance": 4}},
    "cons": {"preset": "spicalib", "scale": {"p": 0.97}, "neuron": {"allowance": 4, "variant": "cons"}},
    "code": {"preset": "spicalib", "neuron": {"allowance": 4, "variant": "code"}, "pooling": "gate"},
}


class Neurons(nn.Module):
    """A layer of scalar neurons in place of a ReLU."""

    def __init__(self, threshold: Tensor, neuron: Callable[[], Callable[[float], float]]) -> None:
        super().__init__()
        self.threshold, self.neuron = threshold, neuron
        self.neurons: list[Callable[[float], float]] = []
        self.spikes = 0.0

    def forward(self, current: Tensor) -> Tensor:
        scaled = (current / self.threshold).flatten().tolist()
        self.neurons = self.neurons or [self.neuron() for _ in scaled]
        fired = [neuron(x) for neuron, x in zip(self.neurons, scaled, strict=True)]
        self.spikes += sum(map(abs, fired))
        return torch.tensor(fired, dtype=current.dtype).view_as(current) * self.threshold


class Pool(nn.Module):
    """A naive pool in place of a max pooling."""

    def __init__(self, module: nn.Module, naive) -> None:
        super().__init__()
        self.module, self.naive, self.pool = module, naive, None

    def forward(self, values: Tensor) -> Tensor:
        self.pool = self.pool or self.naive.like(self.module, tuple(values.shape[2:]))
        return self.pool.step(values)


@pytest.fixture
def stepwise(scalar_neuron, naive_inhibition, naive_gate) -> Callable[[nn.Module, SpikingNetwork], nn.Module]:
    """The network with stateful modules, unfolded batch norms, and nothing else changed."""

    def build(ann: nn.Module, snn: SpikingNetwork) -> nn.Module:
        recipe = snn.recipe.parts()
        settings = {"v": snn.recipe.initial.value} | {
            key: value for key, value in recipe["neuron"].items() if key != "name"
        }
        naive = naive_inhibition if recipe["pooling"]["name"] == "lateral-inhibition" else naive_gate
        twin = copy.deepcopy(ann)
        for name, module in list(twin.named_modules()):
            if isinstance(module, nn.ReLU):
                threshold = snn.thresholds[name].clone()
                twin.set_submodule(name, Neurons(threshold, lambda: scalar_neuron(**settings)))
            elif isinstance(module, nn.MaxPool2d):
                twin.set_submodule(name, Pool(module, naive))
        return twin

    return build


READ = (1, 2, 9, 24)  # few read-outs, so that chunks are really long


def outputs_of(snn: SpikingNetwork, images: Tensor, chunk: int = 16, time_steps=READ) -> Tensor:
    return torch.stack([readout.output for readout in snn.simulate(images, time_steps, chunk)])


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES.keys())
def test_simulation_equals_stepping(recipe, branchy, images, calibration, stepwise) -> None:
    images = images[:2]
    snn = convert(branchy, recipe, calibration)
    twin = stepwise(branchy, snn)
    layers = {name: module for name, module in twin.named_modules() if isinstance(module, Neurons)}
    total, means, spikes = torch.zeros(2, 5, dtype=torch.float64), {}, {}
    for t in range(1, 25):
        with torch.no_grad():
            total += twin(images)
        means[t], spikes[t] = total / t, {name: layer.spikes for name, layer in layers.items()}
    assert all(spikes[24].values())
    for time_steps, chunk in ((READ, 5), (range(1, 25), 1)):
        for readout in snn.simulate(images, time_steps, chunk):
            torch.testing.assert_close(readout.output, means[readout.t], rtol=1e-9, atol=1e-9)
            assert spikes[readout.t].items() <= readout.activity.spikes.items()
            assert (readout.t_total, readout.activity.images) == (readout.t, 2)


@pytest.mark.parametrize("recipe", ["opi", "spicalib"])
def test_neither_chunk_nor_batch_split_changes_anything(recipe, branchy, images, calibration) -> None:
    snn = convert(branchy, recipe, calibration)
    expected = outputs_of(snn, images)
    for chunk in (1, 3, 64):
        torch.testing.assert_close(outputs_of(snn, images, chunk), expected, rtol=1e-9, atol=1e-9)
    split = torch.cat([outputs_of(snn, part) for part in (images[:1], images[1:3], images[3:])], 1)
    torch.testing.assert_close(split, expected, rtol=1e-9, atol=1e-9)


def test_chunks_add_up_to_the_same_spikes(branchy, images, calibration) -> None:
    snn = convert(branchy, "burst", calibration)
    counts = [
        [(r.activity.spikes, r.activity.synops) for r in snn.simulate(images, (5, 17, 30), chunk)]
        for chunk in (1, 4, 16)
    ]
    assert counts[0] == counts[1] == counts[2]


def test_nothing_leaks_between_calls_or_batch_sizes(branchy, images, calibration) -> None:
    snn = convert(branchy, "spicalib", calibration)
    first = outputs_of(snn, images)
    outputs_of(snn, images[:2] * 3)
    interrupted = snn.simulate(images[:1], (1, 30))
    next(interrupted)
    assert torch.equal(outputs_of(snn, images), first)
    assert next(interrupted).t == 30


def test_two_simulations_can_take_turns(branchy, images, calibration) -> None:
    snn = convert(branchy, "burst", calibration)
    parts = (images[:2], images[2:])
    alone = [outputs_of(snn, part) for part in parts]
    pairs = zip(*(snn.simulate(part, READ) for part in parts), strict=True)
    for index, (left, right) in enumerate(pairs):
        assert torch.equal(left.output, alone[0][index])
        assert torch.equal(right.output, alone[1][index])


class Nest(nn.Module):
    """Outputs of several kinds: spikes, currents, and values that never change."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 1)
        self.constant = nn.Parameter(torch.tensor([1.0, 2.0]))

    def forward(self, x: Tensor):
        still = self.conv(x)
        spikes = F.relu(still)
        head = self.head(spikes)
        return {
            "pair": (spikes, still),
            "list": [head, {"deep": head.mean((2, 3))}],
            "constant": self.constant,
        }


def test_structure_of_the_output_is_kept(settle) -> None:
    ann = settle(Nest())
    images = torch.randn(3, 3, 8, 8, dtype=torch.float64)
    snn = convert(ann, {"preset": "opi", "scale": "maximum"}, images)
    expected = ann(images)
    for readout in snn.simulate(images, (3, 400)):
        output = readout.output
        assert list(output) == ["pair", "list", "constant"]
        assert [type(output[key]) for key in output] == [tuple, list, Tensor]
        torch.testing.assert_close(output["pair"][1], expected["pair"][1])
        torch.testing.assert_close(output["constant"], expected["constant"].detach())
    torch.testing.assert_close(output["pair"][0], expected["pair"][0], rtol=0, atol=0.02)
    torch.testing.assert_close(output["list"][0], expected["list"][0], rtol=0, atol=0.02)
    torch.testing.assert_close(output["list"][1]["deep"], expected["list"][1]["deep"], rtol=0, atol=0.01)


def test_readouts_are_sorted_and_unique(branchy, images, calibration) -> None:
    snn = convert(branchy, "opi", calibration)
    found = list(snn.simulate(images, (9, 2, 9, 5)))
    assert [readout.t for readout in found] == [2, 5, 9]
    every = outputs_of(snn, images, time_steps=range(1, 10))
    for readout in found:
        torch.testing.assert_close(readout.output, every[readout.t - 1], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(snn(images, 9), every[-1], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("time_steps", [(), (0,), (4, -1), (1.5,), ("8",)], ids=str)
def test_bad_time_steps_are_refused(time_steps, branchy, images, calibration) -> None:
    snn = convert(branchy, "opi", calibration)
    with pytest.raises(ValueError, match="time steps must be positive whole numbers"):
        list(snn.simulate(images, time_steps))
    with pytest.raises(ValueError, match="chunk must be at least 1, got 0"):
        list(snn.simulate(images, (1,), chunk=0))


def test_stopping_early_costs_only_the_steps_asked_for(
    branchy, images, calibration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPIKEMARK_PROBE", "0")  # it runs steps of its own where many are announced
    snn = convert(branchy, "opi", calibration)
    ran = []
    hook = snn.captured.get_submodule("head").register_forward_hook(
        lambda module, args, output: ran.append(len(output) // len(images))
    )
    for readout in snn.simulate(images, (4, 8, 10**9), chunk=3):
        if readout.t == 8:
            break
    hook.remove()
    assert sum(ran) == 8
    assert max(ran) == 3


def test_inference_mode_changes_nothing(branchy, images, calibration) -> None:
    with torch.inference_mode():
        snn = convert(branchy, "spicalib", calibration.clone())
        inside = outputs_of(snn, images.clone())
    torch.testing.assert_close(inside, outputs_of(snn, images))
    assert not outputs_of(snn, images).requires_grad


def test_layers_of_the_image_alone_run_once(branchy, images, calibration) -> None:
    snn = convert(branchy, "opi", calibration)
    snn.connectivity(images)
    runs = []
    snn.captured.get_submodule("stem.0").register_forward_hook(lambda *_: runs.append(1))
    outputs_of(snn, images, chunk=2)
    assert len(runs) == 1


def bytes_of_tensors() -> int:
    gc.collect()
    tensors = [thing for thing in gc.get_objects() if type(thing) is Tensor]
    return sum({t.data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())


def test_state_does_not_grow_with_time(branchy, images, calibration) -> None:
    snn = convert(branchy, "spicalib", calibration)
    simulation = snn.simulate(images, (8, 16, 200), chunk=8)
    early = [next(simulation), next(simulation)]
    held = bytes_of_tensors()
    late = next(simulation)
    grown = bytes_of_tensors() - held
    assert [readout.t for readout in (*early, late)] == [8, 16, 200]
    assert grown <= late.output.nbytes


def relative_distance(found: Tensor, expected: Tensor) -> float:
    return ((found - expected).norm() / expected.norm()).item()


@pytest.mark.parametrize("preset", ["maxnorm", "percentile", "opi", "burst", "spicalib", "ptq"])
def test_distance_to_the_ann_shrinks(preset: str, branchy, images, calibration) -> None:
    snn = convert(branchy, preset, calibration)
    expected = branchy(images).detach()
    distances = [relative_distance(r.output, expected) for r in snn.simulate(images, (2, 16, 128), chunk=64)]
    assert distances[0] > distances[1] > distances[2]
    assert distances[2] < 0.1


@pytest.mark.parametrize(
    "neuron", ["integrate-and-fire", "burst", {"name": "spike-calibrated", "variant": "cons"}]
)
def test_without_clipping_or_loss_the_limit_is_the_ann(neuron, branchy, images) -> None:
    recipe = {"preset": "maxnorm", "neuron": neuron, "pooling": "lateral-inhibition", "initial": "fraction"}
    snn = convert(branchy, recipe, images)
    distances = [
        relative_distance(readout.output, branchy(images).detach())
        for readout in snn.simulate(images, (32, 512), chunk=128)
    ]
    assert distances[1] < min(0.01, distances[0] / 4)


@pytest.mark.parametrize("v0", [0.0, 0.5])
def test_output_of_one_neuron_is_the_closed_form(v0: float) -> None:
    ann = nn.Sequential(nn.Linear(1, 1, bias=False), nn.ReLU())
    nn.init.ones_(ann[0].weight)
    recipe = {"preset": "maxnorm", "initial": {"name": "fraction", "fraction": v0}}
    snn = convert(ann, recipe, torch.tensor([[4.0]]))  # threshold 4
    z = torch.arange(-8, 49).view(-1, 1) / 8
    for readout in snn.simulate(z, (1, 3, 8, 20)):
        t = readout.t
        assert torch.equal(readout.output * t / 4, torch.floor(z / 4 * t + v0).clamp(0, t).round())


def test_bounded_relu_saturates_at_its_bound() -> None:
    ann = nn.Sequential(nn.Linear(1, 1, bias=False), nn.ReLU6())
    nn.init.ones_(ann[0].weight)
    calibration = torch.linspace(0, 20, 100)[:, None]
    for preset in ("maxnorm", "burst", "spicalib"):
        snn = convert(ann, preset, calibration)
        (output,) = [r.output for r in snn.simulate(torch.tensor([[3.0], [6.0], [15.0]]), (300,))]
        torch.testing.assert_close(output.flatten(), torch.tensor([3.0, 6.0, 6.0]), rtol=0, atol=0.03)


def test_thresholds_are_buffers_that_travel_with_the_network(branchy, images, calibration) -> None:
    snn = convert(branchy, "maxnorm", calibration)
    before = outputs_of(snn, images)
    for threshold in snn.thresholds.values():
        threshold.mul_(1.01)
    assert not torch.equal(outputs_of(snn, images), before)
    other = convert(branchy, "maxnorm", calibration)
    other.load_state_dict(snn.state_dict())
    assert torch.equal(outputs_of(other, images), outputs_of(snn, images))
