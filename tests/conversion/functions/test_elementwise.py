"""Elementwise functions against torch's own."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from conversion.functions.elementwise import Elementwise, of_call, of_module

MODULES = [
    nn.SiLU(), nn.GELU(), nn.GELU("tanh"), nn.Hardswish(), nn.Hardsigmoid(), nn.Sigmoid(), nn.Tanh(),
    nn.ELU(0.5), nn.CELU(0.7), nn.SELU(), nn.Softplus(2.0, 10.0), nn.Mish(), nn.LogSigmoid(), nn.Softsign(),
    nn.Tanhshrink(), nn.Softshrink(0.3), nn.Hardshrink(0.2), nn.Threshold(0.1, -0.5),
]  # fmt: skip
CALLS = [
    (F.silu, (), {}), (F.gelu, (), {"approximate": "tanh"}), (F.elu, (0.5,), {}), (F.elu, (), {"alpha": 2.0}),
    (torch.sigmoid, (), {}), ("sigmoid", (), {}), ("tanh", (), {}), (F.softplus, (2.0,), {"threshold": 5.0}),
    (F.hardswish, (), {}), (F.threshold, (0.2, 0.1), {}), (F.softshrink, (0.4,), {}),
]  # fmt: skip


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_module_is_its_function(module: nn.Module) -> None:
    x = torch.linspace(-4, 4, 101, dtype=torch.float64)
    found = of_module(module)
    assert found is not None
    torch.testing.assert_close(found(x), module(x))
    assert found.signed == bool((module(torch.linspace(-50, 50, 1001)) < 0).any())


@pytest.mark.parametrize(("target", "args", "kwargs"), CALLS, ids=range(len(CALLS)))
def test_a_call_is_its_function(target, args, kwargs) -> None:
    x = torch.linspace(-4, 4, 101, dtype=torch.float64)
    found = of_call(target, args, kwargs)
    assert found is not None
    call = getattr(torch.Tensor, target) if isinstance(target, str) else target
    torch.testing.assert_close(found(x), call(x, *args, **kwargs))


def test_slopes_of_a_prelu_belong_to_channels() -> None:
    x, slopes = torch.randn(2, 3, 4), (0.5, -1.0, 2.0)
    torch.testing.assert_close(Elementwise("prelu", (slopes,))(x), F.prelu(x, torch.tensor(slopes)))


@pytest.mark.parametrize(("low", "high", "signed"), [(-1.0, 1.0, True), (0.0, 2.0, False), (0.5, 2.0, False)])
def test_clipping(low: float, high: float, signed: bool) -> None:
    function = Elementwise("hardtanh", (low, high))
    assert function.signed == signed
    assert function(torch.tensor([-9.0, 9.0])).tolist() == [low, high]


def test_what_is_no_elementwise_function() -> None:
    assert of_module(nn.LayerNorm(3)) is None
    assert of_call(torch.add, (1,), {}) is None
    assert of_call(F.elu, (torch.ones(1),), {}) is None  # computed in the network
