"""The compiled simulator against PyTorch's own operations.

Weights, images and thresholds of the networks here are short binary fractions, so that all arithmetic is
exact in float32: both simulators must agree to the last spike, not only on average.
"""

import os

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from conversion import convert
from conversion.neurons import (
    BipolarIntegrateAndFire,
    Burst,
    DifferentialBothSigns,
    DifferentialMultiThreshold,
    ImbalancedThreshold,
    Integer,
    IntegrateAndFire,
    MirroredMultiThreshold,
    MultiThreshold,
    Signed,
    SignedMultiThreshold,
    SpikeCalibrated,
    Tracking,
    TwoSided,
)
from conversion.plan.layer import SpikingLayer
from conversion.signals.signals import Signal, Spikes
from conversion.simulation.backend import PRECISIONS
from conversion.simulation.choice import _say_once, backend_for, effective_precision, use
from conversion.simulation.compiled.backend import Compiled
from conversion.simulation.compiled.byte_layers import SILENT
from conversion.simulation.compiled.layers import Summand, pack, run_layer
from conversion.simulation.compiled.native import has_synapses, has_tiles, kernel
from conversion.simulation.compiled.population import Population
from conversion.simulation.fused.firing import carriers_of, firing_of, spikes_of

pytestmark = pytest.mark.skipif(kernel() is None, reason="no C compiler on this machine")
needs_synapses = pytest.mark.skipif(
    kernel() is None or not has_synapses(), reason="no byte kernel on this machine (AVX-512 VNNI or AVX2)"
)
TIME_STEPS = (1, 2, 5, 24)


@pytest.fixture(autouse=True, params=["matrix unit", "vectors"])
def multiplier(request):
    """What multiplies bytes: the processor's matrix unit, where there is one, and its vector instructions."""
    if request.param == "vectors":
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("conversion.simulation.compiled.layers.has_tiles", lambda: False)
            yield
    elif has_tiles():
        yield
    else:
        pytest.skip("no matrix unit on this machine (AMX)")


SIGNED = {"preset": "snm", "neuron": {"gamma": 2, "lower": 0.0, "back": 3}, "pooling": "lateral-inhibition"}


class Branchy(nn.Module):
    """Residual sum, strided shortcut by slicing and padding, concat, pooling, 1x1 and dilated layers."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 16, 3, padding=1)
        self.second = nn.Conv2d(16, 16, 3, padding=1)
        self.down = nn.Conv2d(16, 32, 3, stride=2, padding=1)
        self.side = nn.Conv2d(16, 32, 1, stride=2)
        self.wide = nn.Conv2d(32, 32, 3, padding=2, dilation=2, bias=False)
        self.pool = nn.MaxPool2d(3, 1, 1)
        self.hidden = nn.Linear(64, 48)
        self.head = nn.Linear(48, 10)

    def forward(self, x):
        x = F.relu(self.first(x))
        x = F.relu(self.second(x) + x)
        short = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 8, 8))
        x = F.relu(self.down(x) + self.side(x) + short)
        x = torch.cat([F.relu(self.wide(x)), self.pool(x)], 1)
        x = F.relu(self.hidden(x.mean((2, 3)) * 1.0))
        return self.head(x)


def short_fractions(network, seed=0):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randint(-12, 20, parameter.shape, generator=generator) / 64)
    return network.eval()


@pytest.fixture
def images():
    return torch.randint(-4, 8, (5, 3, 7, 6), generator=torch.Generator().manual_seed(1)) / 8


def simulate(network, recipe, images, compiled, **options):
    snn = convert(network, recipe, images)
    for index, threshold in enumerate(snn.thresholds.values()):
        threshold.fill_((0.5, 2.0, 4.0)[index % 3])
    with use("compiled" if compiled else "pytorch"):
        readouts = list(snn.simulate(images, TIME_STEPS, **options))
    for readout in readouts:
        assert readout.ran.backend == ("compiled" if compiled else "pytorch")
    return readouts


@pytest.mark.parametrize(
    "recipe",
    [
        "maxnorm",
        "opi",
        "burst",
        "spicalib",
        {"preset": "spicalib", "neuron": {"variant": "cons", "allowance": 2}},
        {"preset": "burst", "pooling": "gate"},
        {"preset": "spicalib", "neuron": {"variant": "code", "allowance": 1}, "pooling": "gate"},
        {"preset": "snm", "pooling": "lateral-inhibition"},
        {"preset": "opi", "neuron": {"name": "signed", "gamma": 4, "lower": 0.0, "back": 4}},
        {"preset": "opi", "neuron": {"name": "integer", "most": 3}},
        {"preset": "opi", "initial": "residual"},
        {"preset": "snm", "initial": "offset"},
        "dcgs",
        {"preset": "dcgs", "neuron": {"levels": 2}},
        "hmt",
        {"preset": "hmt", "neuron": {"levels": 3}},
        {"preset": "hmt", "pooling": "gate"},
        {"preset": "hmt", "neuron": {"name": "mirrored-multi-threshold", "levels": 8}},
        {"preset": "hmt", "neuron": {"name": "mirrored-multi-threshold", "levels": 2}},
        {"preset": "hmt", "neuron": {"levels": 12}},
        "ecmt",
        {"preset": "burst", "neuron": {"name": "two-sided", "gamma": 2, "lower": -0.5}},
    ],
)
def test_agrees_with_plain_operations_to_the_last_spike(recipe, images):
    network = short_fractions(Branchy())
    fast = simulate(network, recipe, images, True)
    plain = simulate(network, recipe, images, False)
    for ours, theirs in zip(fast, plain, strict=True):
        assert sum(theirs.activity.spikes.values()) > 0
        assert ours.activity.spikes == theirs.activity.spikes
        assert ours.activity.synops == theirs.activity.synops
        torch.testing.assert_close(ours.output, theirs.output, rtol=1e-6, atol=1e-6)


class Bounded(Branchy):
    """The same with upper bounds here and there."""

    def forward(self, x):
        x = torch.clamp(self.first(x), 0, 1)
        x = F.relu(self.second(x) + x)
        x = F.hardtanh(self.down(x) + self.side(x), 0, 4)
        x = torch.cat([F.relu6(self.wide(x)), self.pool(x)], 1)
        return self.head(F.relu(self.hidden(x.mean((2, 3)) * 1.0)))


@pytest.mark.parametrize("recipe", ["opi", "burst", "spicalib", SIGNED, "dcgs", "hmt", "ecmt"])
def test_bounds_agree_with_plain_operations_too(recipe, images):
    network = short_fractions(Bounded())
    fast = simulate(network, recipe, images, True, chunk=5)
    plain = simulate(network, recipe, images, False)
    for ours, theirs in zip(fast, plain, strict=True):
        assert ours.activity.spikes == theirs.activity.spikes
        torch.testing.assert_close(ours.output, theirs.output, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("options", [{"chunk": 1}, {"chunk": 3}, {"chunk": 64}])
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("recipe", ["burst", "spicalib", SIGNED, "dcgs", "hmt"])
def test_chunks_do_not_matter(options, precision, recipe, images):
    torch.manual_seed(0)
    network = Branchy().eval()  # any weights: integer sums do not depend on their order
    whole = simulate(network, recipe, images, True, precision=precision)
    parts = simulate(network, recipe, images, True, precision=precision, **options)
    assert [r.activity.spikes for r in parts] == [r.activity.spikes for r in whole]


@pytest.mark.parametrize("recipe", ["opi", {"preset": "spicalib", "neuron": {"allowance": 2}}, SIGNED])
def test_threads_and_batches_do_not_matter(recipe, images):
    torch.manual_seed(0)
    network = Branchy().eval()
    snn = convert(network, recipe, images)
    before = torch.get_num_threads()
    *_, one = snn.simulate(images, TIME_STEPS)
    try:
        torch.set_num_threads(2)
        *_, two = snn.simulate(images, TIME_STEPS)
    finally:
        torch.set_num_threads(before)
    assert one.activity.spikes == two.activity.spikes
    halves = [list(snn.simulate(half, TIME_STEPS))[-1] for half in (images[:2], images[2:])]
    for name, spikes in one.activity.spikes.items():
        assert spikes == sum(half.activity.spikes[name] for half in halves)


def test_new_weights_and_thresholds_are_seen(images):
    network = short_fractions(Branchy())
    snn = convert(network, "opi", images)
    *_, before = snn.simulate(images, (8,))
    next(iter(snn.thresholds.values())).mul_(2)
    *_, after = snn.simulate(images, (8,))
    assert before.activity.spikes != after.activity.spikes
    fresh = convert(network, "opi", images)
    fresh.load_state_dict(snn.state_dict())
    *_, again = fresh.simulate(images, (8,))
    assert again.activity.spikes == after.activity.spikes


def test_weights_are_packed_once_for_each_precision_until_they_change(images, monkeypatch):
    packed = []
    prepare = Compiled.prepare
    monkeypatch.setattr(
        Compiled,
        "prepare",
        lambda backend, fitted, precision: packed.append(precision) or prepare(backend, fitted, precision),
    )
    snn = convert(short_fractions(Branchy()), "opi", images)
    runs = [precision for precision in PRECISIONS if backend_for(images).runs(precision)]
    for turn in range(1, 3):
        for precision in runs * 3:
            list(snn.simulate(images, (4,), precision=precision))
        assert packed == runs * turn
        next(iter(snn.thresholds.values())).mul_(2)


LAYERS = [
    nn.Conv2d(16, 32, 3, padding=1),
    nn.Conv2d(8, 16, 3, stride=2, padding=1, bias=False),
    nn.Conv2d(32, 16, (1, 3), stride=(2, 1), padding=(0, 2), dilation=(1, 2)),
    nn.Conv2d(4, 48, 5, padding=4),
    nn.Conv2d(64, 64, 1),
    nn.Linear(36, 32),
    nn.Linear(20, 10),
    nn.Conv2d(12, 24, 3, stride=2),
    nn.Conv2d(5, 7, 3, padding=1),
    nn.Conv2d(18, 18, 3, groups=18),
    nn.Conv2d(6, 10, 3, groups=2),
    nn.Linear(58, 3),
    nn.Conv2d(16, 16, 3, padding=1, groups=16),
    nn.Conv2d(32, 32, 5, stride=2, padding=4, dilation=2, groups=32, bias=False),
    nn.Conv2d(48, 48, (1, 3), stride=(1, 3), padding=(0, 3), groups=48),
    nn.Conv2d(32, 48, 3, padding=1, groups=2),
    nn.Conv2d(128, 128, 3, stride=2, padding=1, groups=2, bias=False),
    nn.Conv2d(48, 96, 1, groups=3),
    nn.Conv2d(24, 24, 3, stride=2, padding=1, groups=3),
    nn.Conv2d(64, 32, (3, 5), padding=(2, 1), dilation=(2, 1), groups=16),
    nn.Conv2d(16, 32, 3, padding=2, dilation=2, groups=16),
]


@needs_synapses
@pytest.mark.parametrize("layer", LAYERS, ids=str)
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(("low", "most"), [(0, 4), (-3, 4), (-127, 4), (0, 255)])
def test_currents_are_the_layers_own_within_the_rounding_of_its_weights(layer, precision, low, most):
    torch.manual_seed(0)
    steps, images = 3, 2
    inputs = layer.in_features if isinstance(layer, nn.Linear) else layer.in_channels
    shape = (steps * images, inputs) if isinstance(layer, nn.Linear) else (steps * images, inputs, 9, 7)
    spikes = torch.randint(low, most + 1, shape, dtype=torch.uint8 if most > 127 else torch.int8)
    spike_value = torch.rand(1, inputs, *[1] * (len(shape) - 2)) + 0.5
    threshold = torch.rand(layer.weight.shape[0]) + 0.5
    synapses = pack(layer, spike_value, threshold, precision, most, low)
    source = Spikes(spikes, steps, spike_value, signed=low < 0)
    output_shape = synapses.output_shape(source.shape)
    currents, counts = run_layer(output_shape, steps, (source, synapses), (), None)
    assert counts is None
    with torch.no_grad():
        layer = layer.double()
        exact = layer(spikes.double() * spike_value) / threshold.view(1, -1, *[1] * (len(shape) - 2))
        scale = synapses.fixed.scale[: synapses.outputs].double()
        weight = scale.view(-1, *[1] * (layer.weight.ndim - 1)).expand_as(layer.weight)
        settings = {
            k: getattr(layer, k) for k in ("stride", "padding", "dilation", "groups") if hasattr(layer, k)
        }
        run = F.linear if isinstance(layer, nn.Linear) else F.conv2d
        bound = run(spikes.double().abs(), weight / 2, **settings)
    layer.float()
    assert currents.shape == exact.shape
    error = (currents - exact).abs()
    assert bool((error <= bound * 1.01 + exact.abs() * 4e-7 + 1e-6).all())
    if precision == "int8":
        assert float(error.max()) > 1e-5  # the bound is not met by accident


@pytest.mark.parametrize("gamma", [1, 3])
@pytest.mark.parametrize("shape", [(2, 16, 3, 5), (3, 32)])
def test_neurons_fire_as_written(gamma, shape):
    """v += x; s = clamp(floor(v), 0, gamma); v -= s, for a dense and a spiking summand."""
    steps = 6
    generator = torch.Generator().manual_seed(0)
    dense = torch.randint(-40, 60, (steps, *shape), generator=generator) / 16
    spikes = torch.randint(-1, 3, (steps, *shape), generator=generator, dtype=torch.int8)
    constant = torch.randint(-8, 8, shape, generator=generator) / 8
    half, one = torch.full((shape[1],), 0.5), torch.ones(shape[1])
    last = (shape[0], *shape[2:], shape[1])
    neurons = Population(firing_of(Burst(gamma)), [torch.full(last, 0.5)])
    summands = [
        Summand(Signal(dense.flatten(0, 1), steps), half),
        Summand(Spikes(spikes.flatten(0, 1), steps, torch.ones(1), signed=True), half),
        Summand(Signal(constant, 1), one),
    ]
    fired, counts = run_layer(shape, steps, None, summands, neurons)
    v = torch.full(shape, 0.5)
    expected = []
    for t in range(steps):
        v = v + dense[t] / 2 + spikes[t] / 2 + constant
        s = v.floor().clamp(0, gamma)
        v = v - s
        expected.append(s)
    assert torch.equal(fired.float().unflatten(0, (steps, -1)), torch.stack(expected))
    assert torch.equal(counts, torch.stack(expected).sum((0, 1)))
    (membrane,) = neurons.states
    assert torch.equal(membrane.movedim(-1, 1), v)


NEURONS = [
    IntegrateAndFire(),
    Burst(5),
    Signed(),
    Signed(4, 0.0, 4),
    Signed(2, -0.3, 3),
    *(SpikeCalibrated(5, allowance, variant) for allowance in (0, 3) for variant in ("fix", "cons", "code")),
    ImbalancedThreshold(0.1),
    ImbalancedThreshold(),
    Integer(3),
    DifferentialMultiThreshold(1, 1.0),
    DifferentialMultiThreshold(3),
    Tracking(1),
    Tracking(2),
    MultiThreshold(1),
    MultiThreshold(3),
    MultiThreshold(8),
    MultiThreshold(10),
    MirroredMultiThreshold(2),
    MirroredMultiThreshold(8),
    SignedMultiThreshold(1),
    SignedMultiThreshold(3),
    SignedMultiThreshold(9),
    TwoSided(),
    TwoSided(3, -0.4),
    BipolarIntegrateAndFire(5),
    BipolarIntegrateAndFire(7, 3),
    DifferentialBothSigns(1, 1.0),
    DifferentialBothSigns(4),
]


@pytest.mark.parametrize("neuron", NEURONS, ids=repr)
@pytest.mark.parametrize("shape", [(2, 16, 3, 5), (3, 32)])
def test_neurons_fire_as_in_plain_operations_for_any_current(neuron, shape):
    torch.manual_seed(0)
    least, most = spikes_of(neuron)
    assert most == neuron.largest_spike
    drift = torch.linspace(0.7, -0.5, 40).view(-1, *[1] * len(shape))
    current = (drift + torch.randn(40, *shape)) * max(1, most / 8)
    state = neuron.at_rest(torch.randn(shape), neuron.start(torch.rand(shape)))
    firing = firing_of(neuron)
    carrier = carriers_of([neuron])[neuron]
    value = torch.rand(shape[1]) if carrier is torch.float32 else None
    last = [state[name].movedim(1, -1).clone(memory_format=torch.contiguous_format) for name in firing.states]
    population = Population(firing, last)
    one = torch.ones(shape[1])
    for part in current.split((7, 1, 32)):
        expected, state = neuron.scan(part, len(part), state)
        summand = Summand(Signal(part.flatten(0, 1), len(part)), one)
        fired, counts = run_layer(shape, len(part), None, [summand], population, value=value)
        assert fired.dtype is carrier
        sent = expected if value is None else expected * value.view(1, 1, -1, *[1] * (len(shape) - 2))
        assert torch.equal(fired.float().unflatten(0, (len(part), -1)), sent)
        assert torch.equal(counts, neuron.events(expected).sum((0, 1)))
    for name, found in zip(firing.states, population.states, strict=True):
        assert torch.equal(found.movedim(-1, 1), state[name])
    assert population.done == 40
    assert float(expected.amin()) == least or least <= -8


def test_a_neuron_whose_membrane_is_minus_infinity_stays_silent():
    for neuron in NEURONS:
        states = [torch.zeros(1, 1, 1, 16) for _ in firing_of(neuron).states]
        states[0].fill_(SILENT)
        summand = Summand(Signal(torch.ones(50, 16, 1, 1), 50), torch.ones(16))
        fired, _ = run_layer((1, 16, 1, 1), 50, None, [summand], Population(firing_of(neuron), states))
        assert not fired.any(), neuron


@pytest.mark.parametrize("neuron", [DifferentialMultiThreshold(4), DifferentialBothSigns(3)], ids=repr)
def test_differential_neurons_stay_below_their_bound_as_in_plain_operations(neuron):
    torch.manual_seed(0)
    shape, steps = (2, 16, 3, 5), 30
    current = torch.randn(steps, *shape) + 1.5
    layer = SpikingLayer(neuron, torch.full((1, 1, 1, 1), 0.5), torch.zeros(1), ceiling=1.2)
    state = neuron.at_rest(torch.randn(shape), layer.start(current[0]))
    firing = firing_of(neuron, capped=True)
    last = [state[name].movedim(1, -1).clone(memory_format=torch.contiguous_format) for name in firing.states]
    expected, after = neuron.scan(current, steps, state)
    summand = Summand(Signal(current.flatten(0, 1), steps), torch.ones(16))
    population = Population(firing, last)
    fired, counts = run_layer(shape, steps, None, [summand], population)
    assert torch.equal(fired.float().unflatten(0, (steps, -1)), expected)
    assert torch.equal(counts, neuron.events(expected).sum((0, 1)))
    uncapped, _ = neuron.scan(current, steps, {k: v for k, v in state.items() if k != "most"})
    assert not torch.equal(expected, uncapped)  # the bound does something
    assert torch.equal(population.states[2].movedim(-1, 1), after["output"])


def test_a_faster_precision_that_is_not_there_is_said_once(images):
    _say_once.cache_clear()
    with use("pytorch"), pytest.warns(RuntimeWarning, match="int8 needs a C compiler"):
        assert effective_precision(images, "int8") == "float32"
    with pytest.raises(ValueError, match="float32, int16, int8"):
        effective_precision(images, "fp8")


@pytest.mark.parametrize("variables", [{"CC": "/no/such/compiler"}, {"SPIKEMARK_NATIVE": "0"}])
def test_without_a_compiler_results_stay_right(variables, images, monkeypatch, tmp_path):
    network = short_fractions(Branchy())
    expected = [r.activity.spikes for r in simulate(network, "burst", images, True)]
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    kernel.cache_clear()
    try:
        if "CC" in variables:
            with pytest.warns(RuntimeWarning, match="no compiled kernel"):
                assert kernel() is None
        else:
            assert kernel() is None
        snn = convert(network, "burst", images)
        for index, threshold in enumerate(snn.thresholds.values()):
            threshold.fill_((0.5, 2.0, 4.0)[index % 3])
        assert [r.activity.spikes for r in snn.simulate(images, TIME_STEPS)] == expected
    finally:
        monkeypatch.undo()
        kernel.cache_clear()
    assert kernel() is not None or os.environ.get("SPIKEMARK_NATIVE") == "0"


def test_a_border_of_other_values_than_zero_is_kept():
    class Framed(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Conv2d(3, 16, 1)
            self.second = nn.Conv2d(16, 16, 3)

        def forward(self, x):
            return self.second(F.pad(F.relu(self.first(x)), (1, 1, 1, 1), value=0.5))

    images = torch.randint(-4, 8, (2, 3, 4, 4), generator=torch.Generator().manual_seed(1)) / 8
    network = short_fractions(Framed())
    fast = simulate(network, "opi", images, True)
    plain = simulate(network, "opi", images, False)
    for ours, theirs in zip(fast, plain, strict=True):
        torch.testing.assert_close(ours.output, theirs.output, rtol=1e-6, atol=1e-6)


def test_training_mode_changes_nothing(images):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 16, 1), nn.ReLU(), nn.BatchNorm2d(16), nn.Dropout(0.5))
    snn = convert(network, "opi", images)
    *_, before = snn.simulate(images, (4,))
    *_, after = snn.train().simulate(images, (4,))
    assert torch.equal(before.output, after.output)


@pytest.mark.parametrize("compiled", [True, False])
def test_images_that_take_turns_give_what_they_give_together(compiled, images, monkeypatch):
    network = short_fractions(Branchy())
    together = simulate(network, "burst", images, compiled)
    for limit in ("compiled.schedule.CACHE_BYTES", "pytorch.backend.LAYER_BYTES"):
        monkeypatch.setattr(f"conversion.simulation.{limit}", 1)  # one image at a time
    snn = convert(network, "burst", images)
    with use("compiled" if compiled else "pytorch"):
        assert backend_for(images).schedules(snn.fitted, images, 16, "float32")[0].images == 1
        for index, threshold in enumerate(snn.thresholds.values()):
            threshold.fill_((0.5, 2.0, 4.0)[index % 3])
        alone = list(snn.simulate(images, TIME_STEPS))
    for ours, theirs in zip(alone, together, strict=True):
        torch.testing.assert_close(ours.output, theirs.output)
        assert ours.activity == theirs.activity


@pytest.mark.parametrize("recipe", ["opi", "spicalib"])
def test_no_images_give_no_outputs(recipe, images):
    snn = convert(Branchy().eval(), recipe, images)
    *_, nothing = snn.simulate(images[:0], TIME_STEPS)
    assert nothing.output.shape == (0, 10)
    assert sum(nothing.activity.spikes.values()) == 0
