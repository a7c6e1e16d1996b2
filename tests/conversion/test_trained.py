"""Wrapped networks convert as what they wrap; what is no trained network is refused with a way out."""

import copy
import threading

import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel

from conversion import CaptureError, ConversionError, convert
from conversion.errors import SubmoduleError


@pytest.fixture
def x():
    return torch.rand(4, 3, 6, 6)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU())
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2))

    def forward(self, x):
        return self.head(self.body(x))


@pytest.fixture
def ann():
    net = Net()
    net(torch.rand(16, 3, 6, 6))
    return net.eval()


class Lightning(pl.LightningModule):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x)


def distributed(net):
    """As DistributedDataParallel holds it; its constructor would need a process group."""
    wrapper = DistributedDataParallel.__new__(DistributedDataParallel)
    nn.Module.__init__(wrapper)
    wrapper.module = net
    return wrapper


def compiled_inside(net):
    net.body = torch.compile(net.body, backend="eager")
    return net


def compiled_in_place(net):
    net.body.compile(backend="eager")
    return net


WRAPPED = {
    "compiled": lambda net: torch.compile(net, backend="eager"),
    "compiled inside": compiled_inside,
    "compiled in place": compiled_in_place,
    "DataParallel": nn.DataParallel,
    "DistributedDataParallel": distributed,
    "compiled and distributed": lambda net: distributed(torch.compile(net, backend="eager")),
    "traced by torch.fx": torch.fx.symbolic_trace,
    "in training": lambda net: net.train(),
}
AROUND = {
    "Lightning": Lightning,
    "averaged": AveragedModel,
    "parallel inside": lambda net: Lightning(nn.DataParallel(net)),
}


@pytest.mark.parametrize("wrap", WRAPPED)
def test_wrappers_change_nothing(wrap, ann, x):
    expected = convert(ann, "maxnorm", x)
    snn = convert(WRAPPED[wrap](copy.deepcopy(ann)), "maxnorm", x)
    assert [str(entry) for entry in snn.report] == [str(entry) for entry in expected.report]
    torch.testing.assert_close(snn(x, 4), expected(x, 4))


@pytest.mark.parametrize("wrap", AROUND)
def test_modules_around_a_network_add_a_name_only(wrap, ann, x):
    expected = convert(ann, "maxnorm", x)
    snn = convert(AROUND[wrap](copy.deepcopy(ann)), "maxnorm", x)
    assert [e.name.split(".", 1)[1] for e in snn.report] == [e.name for e in expected.report]
    torch.testing.assert_close(snn(x, 4), expected(x, 4))


@pytest.mark.parametrize("wrap", ["compiled", "DataParallel", "DistributedDataParallel"])
def test_submodules_are_found_with_and_without_the_names_of_wrappers(wrap, ann, x):
    inside = {"compiled": "_orig_mod"}.get(wrap, "module")
    wrapped = WRAPPED[wrap](ann)
    expected = convert(ann, "opi", x, submodule="body")(x, 4)
    for path in ("body", f"{inside}.body"):
        torch.testing.assert_close(convert(wrapped, "opi", x, submodule=path)(x, 4), expected)


def test_a_compiled_network_stays_compiled(ann, x):
    wrapped = compiled_inside(ann)
    convert(wrapped, "opi", x)
    assert type(wrapped.body).__name__ == "OptimizedModule"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("mixed", [False, True], ids=["all", "but batch norms"])
def test_half_precision_converts_to_the_network_of_the_same_weights(dtype, mixed, ann, x):
    half = copy.deepcopy(ann).to(dtype)
    if mixed:
        half.body[1].float()
    snn = convert(half, "maxnorm", x.to(dtype))
    expected = convert(copy.deepcopy(half).float(), "maxnorm", x.to(dtype).float())
    assert {value.dtype for value in snn.state_dict().values() if value.is_floating_point()} == {
        torch.float32
    }
    torch.testing.assert_close(snn(x.to(dtype), 4), expected(x.to(dtype).float(), 4))
    assert half.head[2].weight.dtype == dtype


def test_double_precision_stays(ann, x):
    snn = convert(ann.double(), "maxnorm", x)
    assert snn(x, 4).dtype == torch.float64


def exported(net):
    return torch.export.export(net, (torch.rand(4, 3, 6, 6),)).module()


def locked(net):
    net.lock = threading.Lock()
    return net


def lazy(net):
    net.head[2] = nn.LazyLinear(2)
    return net


def spread(net):
    net.head.to("meta")
    return net


REFUSED = {
    "function": (lambda net: torch.relu, TypeError, "must be a torch.nn.Module, got builtin_function"),
    "nothing": (lambda net: None, TypeError, "got NoneType"),
    "name": (lambda net: "resnet18", TypeError, "got str"),
    "weights": (lambda net: net.state_dict(), TypeError, "got OrderedDict; .* load_state_dict"),
    "class": (lambda net: Net, TypeError, "got the class Net; pass an instance"),
    "scripted": (torch.jit.script, CaptureError, "compiled by torch.jit.*pass the module that was scripted"),
    "exported": (exported, CaptureError, "torch.export.*pass the module that was exported"),
    "no values": (lambda net: net.to("meta"), ConversionError, "'body.0.weight' is on the device meta"),
    "some without values": (spread, ConversionError, "'head.2.weight' is on the device meta"),
    "lazy": (lazy, ConversionError, "'head.2.weight' has no shape yet"),
    "a lock inside": (locked, ConversionError, "Net cannot be copied: .*lock"),
}


@pytest.mark.filterwarnings("ignore:.*torch.jit.*")
@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_trained_network_is_refused(kind, ann, x):
    make, error, message = REFUSED[kind]
    with pytest.raises(error, match=f"(?s){message}"):
        convert(make(ann), "opi", x)


@pytest.mark.parametrize("recipe", ["opi", "ptq"])
def test_converted_networks_are_not_converted_again(recipe, ann, x):
    snn = convert(ann, recipe, x)
    with pytest.raises(
        ConversionError, match=f"it is converted already, with recipe '{recipe}'; pass the netw"
    ):
        convert(snn, "opi", x)
    with pytest.raises(ConversionError, match="its part 'net' is converted already"):
        convert(Lightning(snn), "opi", x)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_a_quantised_network_is_refused_by_layer(ann, x):
    quantised = torch.ao.quantization.quantize_dynamic(ann, {nn.Linear})
    with pytest.raises(ConversionError, match=r"its part 'head.2' is quantised .*in floating point"):
        convert(quantised, "opi", x)
    assert convert(quantised, "opi", x, submodule="body").thresholds


def test_another_part_may_be_converted_already(ann, x):
    expected = convert(ann, "opi", x, submodule="head.2").report
    ann.body = convert(ann, "opi", x, submodule="body")
    assert [str(e) for e in convert(ann, "opi", x, submodule="head.2").report] == [str(e) for e in expected]
    with pytest.raises(ConversionError, match="its part 'body' is converted already"):
        convert(ann, "opi", x)


@pytest.mark.parametrize("submodule", [5, b"body", ["body"], nn.ReLU()], ids=lambda s: type(s).__name__)
def test_a_submodule_is_a_path(submodule, ann, x):
    with pytest.raises(SubmoduleError, match='submodule must be the path of a part, such as "backbone", got'):
        convert(ann, "opi", x, submodule=submodule)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:FutureWarning")
def test_a_scripted_part_is_named() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), torch.jit.script(nn.ReLU()))
    with pytest.raises(CaptureError, match=r"the part '1' is compiled by torch\.jit"):
        convert(network, "opi", torch.randn(1, 3, 4, 4))
