"""Converted networks move as a whole: to another precision, and to a GPU that need not be there.

Tensors of PyTorch's fake mode are on any device that one names, have no values, and refuse to meet tensors of
another device. So a network that simulates there has left nothing behind, and asks for no value on its way.
"""

import copy
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from conversion import convert, recipe_from, recipe_names
from conversion.errors import ImageError
from conversion.graph.activations import QCFS

STEPS = (2, 5)

# What needs values on the device, and why.
NEEDS_VALUES = {"adafire-iat": "images end where their answers are sure"}


class Net(nn.Module):
    """A pool, a sum, a constant of the size of the batch; for [B, 3, 6, 6]."""

    def __init__(self, activation=nn.ReLU):
        super().__init__()
        self.a, self.one = nn.Conv2d(3, 6, 3, padding=1), activation()
        self.b, self.two = nn.Conv2d(6, 6, 3, padding=1), activation()
        self.head = nn.Linear(7 * 9, 4)

    def forward(self, x):
        assert x.shape[1] == 3  # traced for one size, with the device as a number
        x = F.max_pool2d(self.one(self.a(x)), 2)
        x = self.two(self.b(x) + x)
        more = torch.zeros(x.shape[0], 1, 3, 3, device=x.device, dtype=x.dtype)
        return self.head(torch.cat([x, more], 1).flatten(1))


def converted(name, **settings):
    torch.manual_seed(0)
    recipe = recipe_from(name)
    ann = Net((lambda: QCFS(4, 0.8)) if recipe.retrains else nn.ReLU).eval()
    spec = {"preset": name}
    if hasattr(recipe.correction, "iterations"):
        spec["correction"] = {"iterations": 3}
    return convert(ann, spec, [torch.rand(4, 3, 6, 6), torch.rand(2, 3, 6, 6)], **settings)


def counted(snn, x):
    """Count synapses now: that takes values and gradients."""
    for t in STEPS:
        snn.at(t).connectivity(x)
    snn.connectivity(x)


@pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")  # it stands for a GPU here
@pytest.mark.parametrize("name", recipe_names())
def test_everything_moves_to_a_gpu_and_no_value_is_asked_for(name):
    snn, x = converted(name, time_steps=STEPS), torch.rand(3, 3, 6, 6)
    counted(snn, x)
    with FakeTensorMode(allow_non_fake_inputs=True):
        snn.to("cuda")
        assert {tensor.device.type for tensor in tensors_in(snn)} == {"cuda"}
        reading = snn.simulate(x.to("cuda"), STEPS, chunk=2)
        if name in NEEDS_VALUES:
            with pytest.raises(DataDependentOutputException):
                list(reading)
            return
        for readout in reading:
            assert readout.output.device.type == "cuda"
            assert len(readout.activity.synops) == 3


LOOKED_INTO = ("conversion.", "torch.nn", "torch.fx")


def tensors_in(value, seen=None):
    """Every tensor that an object holds, wherever it is."""
    seen = set() if seen is None else seen
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for entry in value.values():
            yield from tensors_in(entry, seen)
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from tensors_in(entry, seen)
    elif hasattr(value, "__dict__") and type(value).__module__.startswith(
        ("conversion.", "torch.nn", "torch.fx")
    ):
        yield from tensors_in(vars(value), seen)


@pytest.mark.parametrize("name", recipe_names())
def test_another_device_holds_nothing_of_the_first(name):
    snn = converted(name, time_steps=2)
    counted(snn, torch.rand(1, 3, 6, 6))
    snn(torch.rand(2, 3, 6, 6), 2)
    snn.to("meta")
    assert {tensor.device.type for tensor in tensors_in(snn)} == {"meta"}
    for node in snn.captured.graph.nodes:
        assert node.kwargs.get("device", torch.device("meta")) == torch.device("meta")


@pytest.mark.parametrize("late", [False, True], ids=["fitted before", "fitted after"])
@pytest.mark.parametrize("name", recipe_names())
def test_a_network_in_double_precision_takes_doubles(name, late):
    snn, x = converted(name), torch.rand(3, 3, 6, 6)
    (single,) = [r.output for r in quietly(snn, x, 4)] if not late else (None,)
    snn.double()
    assert {t.dtype for t in snn.state_dict().values() if t.is_floating_point() and t.ndim > 1} >= {
        torch.float64
    }
    (readout,) = quietly(snn, x.double(), 4)
    assert readout.output.dtype == torch.float64
    if not late:
        assert (readout.output - single).abs().mean() < 0.2 * single.abs().mean() + 0.05
    again = snn.float()
    (readout,) = quietly(again, x, 4)
    assert readout.output.dtype == torch.float32


def quietly(snn, x, t):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return list(snn.simulate(x, t))


@pytest.mark.parametrize("name", recipe_names())
def test_half_precision_is_refused_before_anything_is_fitted(name):
    snn = converted(name).half()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ImageError, match=r"membranes add up .*network\.float\(\)"):
            next(snn.simulate(torch.rand(2, 3, 6, 6), 3))


@pytest.mark.parametrize("name", ["spikemark", "ptq", "calib-light"])
def test_statistics_keep_their_digits_in_another_precision(name):
    snn = converted(name)
    before = copy.deepcopy(snn.calibration.statistics)
    snn.half().float()
    for layer, statistics in snn.calibration.statistics.items():
        assert torch.equal(statistics.histogram[1], before[layer].histogram[1])
        assert torch.equal(statistics.maximum, before[layer].maximum)


def test_networks_of_one_preparation_move_apart():
    from conversion import prepare

    prepared = prepare(Net().eval(), torch.rand(4, 3, 6, 6))
    one, two = prepared.convert("spikemark"), prepared.convert("ptq")
    two.to("meta")
    assert next(tensors_in(one.calibration)).device.type == "cpu"
    assert one.fit_for(2)(torch.rand(1, 3, 6, 6), 2).device.type == "cpu"


def test_every_network_counts_anew_where_a_smaller_precision_makes_weights_0():
    torch.manual_seed(0)
    ann = Net().double().eval()
    with torch.no_grad():
        ann.b.weight[0] = 1e-60  # nothing in single precision
    x = torch.rand(4, 3, 6, 6, dtype=torch.double)
    snn = convert(ann, "opt-shift", [x], time_steps=STEPS)
    before = [snn.at(t).connectivity(x) for t in STEPS]
    snn.float()
    after = [snn.at(t).connectivity(x.float()) for t in STEPS]
    synapses = [
        sum(float(layer.fanout[source].sum()) for layer in one.layers for source in layer.fanout)
        for one in (*before, *after)
    ]
    assert synapses[2] == synapses[3] < synapses[0] == synapses[1]
