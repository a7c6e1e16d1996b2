"""Whole simulations on CUDA tensors that need not be there.

Tensors of PyTorch's fake mode have a device and a shape, no values, and refuse to meet tensors of another
device. Kernels are not launched on them, but every launch checks devices and memory layouts of what it would
get. So a simulation that ends has mixed nothing, and has never asked for a value.
"""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

pytest.importorskip("triton", reason="Triton is not installed")

from conversion import convert, recipe_from, recipe_names
from conversion.graph.activations import QCFS
from conversion.simulation.choice import use
from conversion.simulation.cuda.launching import launch

STEPS = (2, 5)
# What needs values on the device, and why.
NEEDS_VALUES = {"adafire-iat"}  # images end where their answers are sure
HALVES = ("opi", "srp", "spicalib", "dcgs", "tracking", "msat")  # recipes that also run in half precision

pytestmark = pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")


class Net(nn.Module):
    """Pools, sums, a concatenation; for [B, 3, 6, 6]."""

    def __init__(self, activation):
        super().__init__()
        self.a, self.one = nn.Conv2d(3, 8, 3, padding=1), activation()
        self.b, self.two = nn.Conv2d(8, 8, 3, padding=1), activation()
        self.c, self.three = nn.Conv2d(16, 8, 1), activation()
        self.head = nn.Linear(8 * 9, 4)

    def forward(self, x):
        x = F.max_pool2d(self.one(self.a(x)), 2)
        y = self.two(self.b(x) + x)
        return self.head(self.three(self.c(torch.cat([x, y], 1))).flatten(1))


def converted(name):
    torch.manual_seed(0)
    recipe = recipe_from(name)
    ann = Net((lambda: QCFS(4, 0.8)) if recipe.retrains else nn.ReLU).eval()
    spec = {"preset": name}
    if hasattr(recipe.correction, "iterations"):
        spec["correction"] = {"iterations": 2}
    snn = convert(ann, spec, torch.rand(4, 3, 6, 6), time_steps=STEPS)
    x = torch.rand(3, 3, 6, 6)
    for t in STEPS:  # synapses are counted by values and gradients
        snn.at(t).connectivity(x)
    snn.connectivity(x)
    return snn, x


@pytest.mark.parametrize(
    ("name", "precision"),
    [(name, "float32") for name in recipe_names() if name not in NEEDS_VALUES]
    + [(name, "float16") for name in HALVES],
)
def test_nothing_leaves_the_device(name, precision):
    snn, x = converted(name)
    with FakeTensorMode(allow_non_fake_inputs=True), use("triton"):
        snn.to("cuda")
        for readout in snn.simulate(x.to("cuda"), STEPS, chunk=2, precision=precision):
            assert readout.output.device.type == "cuda"
            assert len(readout.activity.synops) == 4
            if name != "ptq":
                assert readout.ran.backend == "triton"


def test_a_launch_refuses_tensors_of_two_devices_and_other_layouts():
    with FakeTensorMode():
        here, there = torch.zeros(4, 4, device="cuda"), torch.zeros(4, 4)
        with pytest.raises(RuntimeError, match="'b' is on cpu, others on cuda"):
            launch(None, (1,), a=here, b=there)
        with pytest.raises(RuntimeError, match="'b' is not contiguous"):
            launch(None, (1,), a=here, b=here.t())


def test_without_a_gpu_the_backend_says_what_it_needs(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    snn, x = converted("opi")
    with use("triton"), pytest.raises(RuntimeError, match=r"need a CUDA device.*TRITON_INTERPRET=1"):
        snn(x, 2)
    with use("triton"), pytest.raises(RuntimeError, match=r"float64.*network\.float\(\)"):
        snn.double()(x.double(), 2)
