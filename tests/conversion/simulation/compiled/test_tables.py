"""The table kernel against the byte kernel and against PyTorch's own operations.

Both kernels use the same fixed-point weights, so they must agree to the last bit for any weights; with
weights that are short binary fractions they must also agree with plain operations to the last spike.
"""

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from conversion import convert
from conversion.neurons import Burst, ImbalancedThreshold, Signed, SpikeCalibrated
from conversion.signals.signals import Signal, Spikes
from conversion.simulation.backend import PRECISIONS
from conversion.simulation.choice import use
from conversion.simulation.compiled.lane_moves import move
from conversion.simulation.compiled.lanes import (
    LaneCurrents,
    fits_planes,
    from_lanes,
    lanes_for,
    pack_spikes,
    planes_of,
    to_lanes,
)
from conversion.simulation.compiled.layers import Summand, pack, run_layer
from conversion.simulation.compiled.native import has_synapses, has_tables
from conversion.simulation.compiled.population import Population
from conversion.simulation.compiled.schedule import uses_tables
from conversion.simulation.compiled.tables import LaneNeurons, LaneSummand, digit_run, run_tables, tables_of
from conversion.simulation.fused.firing import firing_of, spikes_of
from conversion.simulation.fused.fixed_point import BLOCK_GROUPS, GROUP, blocks, grouped

pytestmark = pytest.mark.skipif(
    not (has_tables() and has_synapses()), reason="no tables on this machine (AVX-512 BW and VNNI, or AVX2)"
)
ONE = torch.ones(1)
CALIBRATED = {"preset": "spicalib", "neuron": {"allowance": 2}}
SIGNED = {"preset": "opi", "neuron": {"name": "signed", "gamma": 4, "lower": 0.0, "back": 4}}
EXACT = ["maxnorm", "burst", {"preset": "burst", "pooling": "gate"}, CALIBRATED, "snm", SIGNED]
EXACT += [{**SIGNED, "pooling": "lateral-inhibition"}, {"preset": "opi", "initial": "residual"}]


class Branchy(nn.Module):
    """Residual sum, shortcuts by slicing and by a layer, concat, pooling, a dilated and a 1x1 layer."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 16, 3, padding=1)
        self.second = nn.Conv2d(16, 16, 3, padding=1)
        self.down = nn.Conv2d(16, 32, 3, stride=2, padding=1)
        self.side = nn.Conv2d(16, 32, 1, stride=2)
        self.wide = nn.Conv2d(32, 32, 3, padding=2, dilation=2, bias=False)
        self.pool = nn.MaxPool2d(3, 1, 1)
        self.last = nn.Conv2d(64, 32, 3, padding=1)
        self.hidden = nn.Linear(32 * 12, 48)
        self.head = nn.Linear(48, 10)

    def forward(self, x):
        x = F.relu(self.first(x))
        x = F.relu(self.second(x) + x)
        short = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 8, 8))
        x = F.relu(self.down(x) + self.side(x) + short)
        x = torch.cat([F.relu(self.wide(x)), self.pool(x)], 1)
        x = F.relu(self.last(x))
        x = F.relu(self.hidden(x.view(x.size(0), -1)))
        return self.head(x)


def network(fractions):
    torch.manual_seed(0)
    found = Branchy().eval()
    if fractions:
        with torch.no_grad():
            for parameter in found.parameters():
                parameter.copy_(torch.randint(-12, 20, parameter.shape) / 64)
    return found


def images(count):
    return torch.randint(-4, 8, (count, 3, 7, 6), generator=torch.Generator().manual_seed(1)) / 8


def simulate(monkeypatch, kind, count, recipe="opi", fractions=False, time_steps=(1, 5, 20), **options):
    """Read-outs of one kind of simulation: "tables", "bytes" or "plain"."""
    snn = convert(network(fractions), recipe, images(5))
    if fractions:
        for index, threshold in enumerate(snn.thresholds.values()):
            threshold.fill_((0.5, 2.0, 4.0)[index % 3])
    with monkeypatch.context() as patch, use("pytorch" if kind == "plain" else "compiled"):
        for module in ("backend", "schedule"):
            room = f"conversion.simulation.compiled.{module}"
            patch.setattr(f"{room}.uses_tables", lambda size, *_: kind == "tables" and size <= 32)
        readouts = list(snn.simulate(images(count), time_steps, **options))
    kernels = readouts[-1].ran.layers
    assert set(kernels) <= {kind, "bytes", "pytorch"}
    assert kernels["pytorch" if kind == "plain" else kind] >= 3
    return readouts


def activity(readouts):
    return [(r.activity.spikes, r.activity.synops) for r in readouts]


@pytest.mark.parametrize("recipe", EXACT, ids=str)
@pytest.mark.parametrize("count", [1, 7, 40])
def test_agrees_with_plain_operations_to_the_last_spike(recipe, count, monkeypatch):
    fast = simulate(monkeypatch, "tables", count, recipe, True)
    plain = simulate(monkeypatch, "plain", count, recipe, True)
    assert activity(fast) == activity(plain)
    for ours, theirs in zip(fast, plain, strict=True):
        assert sum(theirs.activity.spikes.values()) > 0
        torch.testing.assert_close(ours.output, theirs.output, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("recipe", ["opi", "burst", CALIBRATED, SIGNED], ids=str)
@pytest.mark.parametrize(("count", "chunk"), [(3, 16), (13, 3), (32, 1), (40, 16)])
def test_both_kernels_agree_for_any_weights(precision, recipe, count, chunk, monkeypatch):
    options = {"precision": precision, "chunk": chunk}
    tables = simulate(monkeypatch, "tables", count, recipe, **options)
    products = simulate(monkeypatch, "bytes", count, recipe, **options)
    assert activity(tables) == activity(products)
    for ours, theirs in zip(tables, products, strict=True):
        torch.testing.assert_close(ours.output, theirs.output, rtol=1e-5, atol=1e-5)


def test_results_do_not_depend_on_chunk_batch_or_threads(monkeypatch):
    whole = simulate(monkeypatch, "tables", 40)
    assert activity(simulate(monkeypatch, "tables", 40, chunk=3)) == activity(whole)
    assert activity(simulate(monkeypatch, "tables", 40, chunk=64)) == activity(whole)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert activity(simulate(monkeypatch, "tables", 40)) == activity(whole)
    finally:
        torch.set_num_threads(before)
    monkeypatch.setattr("conversion.simulation.compiled.schedule.CACHE_BYTES", 1)  # four images at a time
    assert activity(simulate(monkeypatch, "tables", 40)) == activity(whole)


LAYERS = [
    nn.Conv2d(16, 32, 3, padding=1),
    nn.Conv2d(8, 16, 3, stride=2, padding=1, bias=False),
    nn.Conv2d(32, 16, (1, 3), stride=(2, 1), padding=(0, 2), dilation=(1, 2)),
    nn.Conv2d(4, 48, 5, padding=4),
    nn.Conv2d(256, 32, 1),
    nn.Linear(36, 32),
]


def spikes_like(layer, steps, count, most, least=0):
    inputs = layer.weight.shape[1]
    shape = (steps * count, inputs) if isinstance(layer, nn.Linear) else (steps * count, inputs, 9, 7)
    return Spikes(torch.randint(least, most + 1, shape, dtype=torch.int8), steps, ONE, least < 0)


@pytest.mark.parametrize("layer", LAYERS, ids=str)
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(
    ("count", "steps", "neuron"),
    [
        (3, 9, Burst(1)),
        (8, 5, Burst(5)),
        (14, 3, Signed()),
        (20, 7, Signed(4, 0.0, 8)),
        (3, 7, SpikeCalibrated(5, 1)),
        (9, 5, ImbalancedThreshold(0.5)),
    ],
    ids=str,
)
def test_sums_and_neurons_equal_those_of_the_byte_kernel(layer, precision, count, steps, neuron):
    torch.manual_seed(0)
    least, most = spikes_of(neuron)
    synapses = pack(layer, ONE, ONE / 3, precision, most, least)
    source = spikes_like(layer, steps, count, most, least)
    lanes, weights = lanes_for(count), planes_of(most, least)
    packed = pack_spikes(source, weights, lanes)
    drive = (packed, tables_of(synapses))
    shape = synapses.output_shape(source.shape)
    expected, _ = run_layer(shape, steps, (source, synapses), (), None)
    assert torch.equal(run_tables(shape, steps, lanes, drive, (), None).data, expected)

    dense = Signal(torch.randn(steps * count, *shape[1:]), steps)
    constant = Signal(torch.randn(shape), 1)
    others = Spikes(torch.randint(least, most + 1, dense.data.shape, dtype=torch.int8), steps, ONE, least < 0)
    scale = torch.rand(shape[1])
    state = neuron.start(torch.rand(shape))
    firing = firing_of(neuron)
    neurons = Population.of(
        firing, state, lambda _, x: x.movedim(1, -1).clone(memory_format=torch.contiguous_format)
    )
    summands = [Summand(value, scale) for value in (dense, others, constant)]
    expected, counts = run_layer(shape, steps, (source, synapses), summands, neurons)
    in_lanes = [
        LaneCurrents(to_lanes(dense.data, steps, lanes), count, len(shape)),
        pack_spikes(others, weights, lanes),
        LaneCurrents(to_lanes(constant.data, 1, lanes), count, len(shape)),
    ]
    in_lanes_too = Population.of(
        firing,
        state,
        lambda name, x: to_lanes(x, 1, lanes, fill=-torch.inf if name == "v" else 0.0)[:, :, :, 0],
    )
    fired = run_tables(
        shape,
        steps,
        lanes,
        drive,
        [LaneSummand(value, scale) for value in in_lanes],
        LaneNeurons(in_lanes_too, ONE),
    )
    assert torch.equal(fired.counts, expected)
    for ours, theirs in zip(in_lanes_too.states, neurons.states, strict=True):
        images_first = from_lanes(ours[:, :, :, None], count, len(shape))
        assert torch.equal(images_first, theirs.movedim(-1, 1))
    total = torch.zeros(*(shape[2:] or (1, 1)), shape[1])
    fired.count(total)
    assert torch.equal(total.permute(2, 0, 1).reshape(counts.shape), counts)
    mean = expected.float().unflatten(0, (steps, -1)).mean(0)
    torch.testing.assert_close(fired.mean(), mean)


@pytest.mark.parametrize("count", [1, 4, 6, 16, 31, 32])
@pytest.mark.parametrize("shape", [(16,), (8, 3, 5)])
@pytest.mark.parametrize("least", [0, -1, -8])
def test_spikes_survive_packing_and_moving(count, shape, least):
    counts = torch.randint(least, 6, (3 * count, *shape), dtype=torch.int8)
    packed = pack_spikes(Spikes(counts, 3, ONE, least < 0), planes_of(5, least), lanes_for(count))
    assert packed.signed == (least < 0)
    total = torch.zeros(*(shape[1:] or (1, 1)), shape[0])
    packed.count(total)
    sizes = counts.int().abs().sum(0).float()
    assert torch.equal(total.permute(2, 0, 1).view_as(sizes), sizes)
    assert torch.equal(packed.counts, counts)
    assert packed.shape == (count, *shape)
    assert torch.equal(packed.data, counts.float())
    moved = packed.moved(packed.carrier[:, 4:8], ONE)
    assert torch.equal(moved.counts, counts[:, 4:8])
    assert packed.travels_with(moved)
    assert not packed.travels_with(Spikes(counts, 3, ONE, False))


@pytest.mark.parametrize(
    ("least", "most"), [(0, 1), (0, 7), (-1, 1), (-1, 5), (-4, 3), (-4, 4), (-8, 7), (-8, 1)]
)
def test_planes_hold_every_number_of_spikes_once(least, most):
    weights = planes_of(most, least)
    sums = [sum(some) for n in range(len(weights) + 1) for some in itertools.combinations(weights, n)]
    assert len(set(sums)) == len(sums)
    assert set(range(least, most + 1)) <= set(sums)
    assert fits_planes(most, least)
    assert not fits_planes(8, least)
    assert not fits_planes(most, -9)


@pytest.mark.parametrize(("taps", "groups"), [(9, 3), (9, 6), (9, 11), (1, 86), (25, 1), (9, 43), (49, 2)])
def test_blocks_cover_every_tap_and_group_once(taps, groups):
    covered = torch.zeros(taps, groups)
    for a, b, c, d in blocks(taps, groups):
        assert 0 < (b - a) * (d - c) <= BLOCK_GROUPS
        covered[a:b, c:d] += 1
    assert bool((covered == 1).all())


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("least", [0, -5])
def test_no_sum_can_overflow(precision, least):
    torch.manual_seed(0)
    layer = nn.Conv2d(64, 16, 3)
    with torch.no_grad():
        layer.weight.uniform_(0.9, 1)  # all of one sign and size: the worst case
        if least:  # of those that spikes taken back make worse
            layer.weight[:, ::2] *= -1
    fixed = pack(layer, ONE, ONE, precision, 5, least).fixed
    weights = grouped(fixed.weights, GROUP).long()
    if precision == "float32":
        worst = weights.abs() if least else weights
        assert int(worst.sum((1, 2, 3)).max()) * 5 < 2**31
        assert int(weights.max()) >= 2**18
    else:
        sums = [weights[:, a:b, c:d].sum((1, 2, 3)).max() for a, b, c, d in blocks(*weights.shape[1:3])]
        assert int(max(sums)) < 2**15
        assert int(weights.max()) >= 127


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("sign", [1, -1])
def test_the_largest_sums_are_exact(precision, sign):
    torch.manual_seed(0)
    layer = nn.Conv2d(64, 16, 3)
    with torch.no_grad():
        layer.weight.uniform_(0.999, 1).mul_(sign)  # every digit of every weight as large as it gets
    synapses = pack(layer, ONE, ONE, precision)
    ones = Spikes(torch.ones(8, 64, 5, 4, dtype=torch.int8), 2, ONE, signed=False)
    spikes = pack_spikes(ones, (1,), 4)
    currents = run_tables([4, 16, 3, 2], 2, 4, (spikes, tables_of(synapses)), (), None)
    exact = synapses.fixed.weights.double().sum((1, 2, 3)) * synapses.fixed.scale + synapses.fixed.bias
    assert bool((exact * sign > 0.99 * 64 * 9).all())
    torch.testing.assert_close(currents.data.double(), exact[None, :, None, None].expand(8, -1, 3, 2))


@pytest.mark.parametrize(("weight", "run"), [(2047, 5), (-2048, 5), (2048, 5), (4096, 20), (4096 * 2039, 5)])
def test_a_run_of_digits_is_as_long_as_16_bits_allow(weight, run):
    assert digit_run(torch.full((2, 3, 20, 3), weight, dtype=torch.int32)) == run


def test_tables_are_used_where_enough_lanes_are_filled(monkeypatch):
    monkeypatch.setattr("conversion.simulation.compiled.schedule.has_tiles", lambda: False)
    assert uses_tables(32, 16, "int16", 1)
    assert uses_tables(20, 1, "float32", 1)
    assert not uses_tables(1, 1, "int16", 1)
    assert not uses_tables(32, 16, "int8", 2)  # two planes cost as much as bytes
    assert not uses_tables(33, 16, "int16", 1)
    assert not uses_tables(32, 16, "int16", 0)
    monkeypatch.setattr("conversion.simulation.compiled.schedule.has_tiles", lambda: True)
    assert not uses_tables(32, 16, "int16", 1)  # a matrix unit is faster


@pytest.mark.parametrize("count", [5, 32])
def test_moves_of_blocks_are_those_of_the_operations(count):
    counts = torch.randint(0, 2, (3 * count, 16, 6, 5), dtype=torch.int8)
    spikes = pack_spikes(Spikes(counts, 3, ONE, False), (1,), lanes_for(count))
    every_other = (slice(None), slice(None), slice(1, None, 2), slice(None, None, 2))
    cases = [
        ("getitem", (spikes, every_other), {}, counts[every_other]),
        ("pad", (spikes, (1, 2, 0, 1, 4, 8)), {}, F.pad(counts, (1, 2, 0, 1, 4, 8))),
        ("pad", (spikes, (1, 1)), {"value": 0.0}, F.pad(counts, (1, 1))),
        ("cat", ([spikes, spikes],), {"dim": 1}, torch.cat([counts, counts], 1)),
        ("Dropout", (spikes,), {}, counts),
    ]
    for name, args, kwargs, expected in cases:
        assert torch.equal(move(name, args, kwargs, ONE).counts, expected)
    refused = [
        ("getitem", (spikes, (slice(None), slice(0, 8))), {}),
        ("getitem", (spikes, (slice(None), slice(0, 8), slice(None), slice(None))), {}),
        ("pad", (spikes, (0, 0, 0, 0, 1, 1)), {}),
        ("pad", (spikes, (1, 1), "reflect"), {}),
        ("cat", ([spikes, spikes], 0), {}),
        ("flatten", (spikes, 1), {}),
    ]
    assert all(move(*case, ONE) is None for case in refused)
