"""What torch.fx does not see by itself, shown to it while a network is traced."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx import _symbolic_trace

# Functions that make a tensor from sizes alone.
FACTORIES = ("zeros", "ones", "full", "empty", "arange", "linspace", "eye", "tensor")
# Methods by which constants take sizes, where the tensor is no parameter.
SIZED_METHODS = (
    *("expand", "repeat", "tile", "view", "reshape", "broadcast_to", "unflatten", "narrow"),
    *("new_zeros", "new_ones", "new_full", "new_empty", "repeat_interleave"),
)


@contextmanager
def sizes_seen(tracer: Any) -> Iterator[None]:
    """Make torch.zeros(n, 3), constant.expand(n, 3) and the like operations, where n is a signal's size.

    Args:
        tracer: its `sizes_for_numbers` says which numbers are sizes.
    """
    originals: list[tuple[Any, str, Any]] = [(torch, name, getattr(torch, name)) for name in FACTORIES]
    originals += [(Tensor, name, getattr(Tensor, name)) for name in SIZED_METHODS]
    inherited = [name for name in SIZED_METHODS if name not in vars(Tensor)]

    def traced(room: Any, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            args, kwargs = tracer.sizes_for_numbers((args, kwargs))
            if not _proxies_in((args, kwargs)):
                return original(*args, **kwargs)
            if room is Tensor:
                return tracer.create_proxy("call_method", name, args, kwargs)
            return tracer.create_proxy("call_function", original, args, kwargs)

        return call

    try:
        for room, name, original in originals:
            setattr(room, name, traced(room, name, original))
        yield
    finally:
        for room, name, original in originals:
            if room is Tensor and name in inherited:
                delattr(room, name)
            else:
                setattr(room, name, original)


@contextmanager
def tensors_seen() -> Iterator[None]:
    """Let `torch.is_tensor` say yes of what stands for a value; `isinstance` says no: C code relies on it."""
    original = torch.is_tensor

    def is_tensor(obj: Any) -> bool:
        return is_proxy(obj) or original(obj)

    try:
        torch.is_tensor = is_tensor  # type: ignore[assignment]
        yield
    finally:
        torch.is_tensor = original


@contextmanager
def scripts_seen() -> Iterator[None]:
    """Trace the Python function that a function of `torch.jit.script` was made of.

    torch keeps it for its own compiler, under this private name alone.
    """
    kind: Any = torch.jit.ScriptFunction
    original = kind.__call__

    def call(script: Any, *args: Any, **kwargs: Any) -> Any:
        python = getattr(script, "_torchdynamo_inline", None)
        if python is not None and _proxies_in((args, kwargs)):
            return python(*args, **kwargs)
        return original(script, *args, **kwargs)

    try:
        kind.__call__ = call
        yield
    finally:
        kind.__call__ = original


@contextmanager
def compiled_seen() -> Iterator[None]:
    """Look inside functions of `torch.compile`, where there are any."""
    dynamo: Any = sys.modules.get("torch._dynamo")
    if dynamo is None:
        yield
        return
    with dynamo.config.patch(error_on_nested_fx_trace=False):
        yield


@contextmanager
def nothing_wrapped() -> Iterator[None]:
    """Look inside functions that a library keeps whole by torch.fx.wrap: their operations can be traced.

    torch offers no public way to trace into them.
    """
    wrapped: dict[Any, Any] = getattr(_symbolic_trace, "_wrapped_fns_to_patch", {})
    kept = dict(wrapped)
    wrapped.clear()
    try:
        yield
    finally:
        wrapped.update(kept)


def is_proxy(value: Any) -> bool:
    """True for what stands for a value while a network is traced."""
    return isinstance(value, fx.Proxy)


def _proxies_in(values: Any) -> bool:
    found: list[Any] = []
    fx.node.map_aggregate(values, lambda a: found.append(a) if is_proxy(a) else None)
    return bool(found)
