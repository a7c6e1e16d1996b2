"""Tracers: how the Python code of a network becomes a graph of operations.

`PlainTracer` keeps batch and image size free. `SizedTracer` is for networks whose code computes with
sizes: padding that depends on the image, assertions on shapes, loops over axes. It runs two batches
of example images beside the trace, of two and of three images. A size that is the same in both is a
number from then on; what differs is the number of images, which stays free. Code that depends on the
values of pixels is refused by both.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.fx.proxy import TraceError

from conversion.graph.activations import TrainedActivation
from conversion.graph.hooks import after_call, before_call
from conversion.graph.while_tracing import (
    compiled_seen,
    is_proxy,
    nothing_wrapped,
    scripts_seen,
    sizes_seen,
    tensors_seen,
)

IMAGE_SIZE = "image_size"  # in a graph's `meta`: the only size of images [C, H, W] that it is right for

_PLAIN = (int, float, bool, str, type(None), torch.dtype, torch.device)
_SIZE_QUESTIONS = {"size", "dim", "ndimension", "numel", "nelement", "stride", "is_contiguous", "get_device"}
_SIZE_QUESTIONS |= {"is_floating_point", "element_size"}
_PROPERTIES = {"shape", "ndim", "dtype", "device", "is_cuda", "requires_grad", "layout", "is_sparse"}
_FROM_SIZES = ("new_zeros", "new_ones", "new_full")  # constants, unless they are as large as a batch
_DATA = "data"  # the same values, without a gradient
_MADE_UP = 7_368_787_000_001  # larger than any size of a tensor


class PlainTracer(fx.Tracer):
    """Traces down to torch.nn modules and ours, and remembers the source line of every operation.

    The network is called with one argument, its images. Further arguments of its forward keep their
    defaults, which are constants.
    """

    record_stack_traces = True

    def __init__(self) -> None:
        super().__init__()
        self._own: dict[nn.Module, dict[str, Any]] = {}  # parameters of modules before the network runs

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Keep torch.nn modules and trained activations whole; look inside everything else.

        One whose parameters the network's code has exchanged, as `torch.func.functional_call` does, is the
        function of other weights than its own here, and is looked into.
        """
        if isinstance(m, TrainedActivation):
            return True
        own = self._own.get(m)
        if own is not None and any(one is not m._parameters.get(name) for name, one in own.items()):
            return False
        return super().is_leaf_module(m, module_qualified_name)

    def trace(self, root: Any, concrete_args: dict[str, Any] | None = None) -> fx.Graph:
        """Graph of a network; see `torch.fx.Tracer.trace`."""
        self._own = {m: dict(m._parameters) for m in root.modules()} if isinstance(root, nn.Module) else {}
        with sizes_seen(self), tensors_seen(), scripts_seen(), compiled_seen(), nothing_wrapped():
            return super().trace(root, concrete_args)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        """Stand-in for a value."""
        return _Value(node, self)

    def create_args_for_root(
        self, root_fn: Any, is_module: bool, concrete_args: Any = None
    ) -> tuple[Callable[..., Any], list[Any]]:
        """Arguments to trace with: the network, and a placeholder for its images."""
        _, *parameters = inspect.signature(root_fn).parameters.values()
        image = next(iter(parameters), None)
        if image is None or image.kind in (image.KEYWORD_ONLY, image.VAR_KEYWORD):
            raise TraceError("its forward takes no images by position")
        several = (image.VAR_POSITIONAL, image.VAR_KEYWORD)
        needed = [
            other.name
            for other in parameters[1:]
            if other.default is other.empty and other.kind not in several
        ]
        if needed:
            raise TraceError(
                f"its forward needs more than images: {', '.join(needed)}; a network that converts is "
                "called with one tensor, so give further arguments a default"
            )
        return root_fn, [self.root, self.create_proxy("placeholder", image.name, (), {})]

    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Trace a module call. Hooks of a module that stays whole become part of the graph, too."""
        if not self.is_leaf_module(m, self.path_of_module(m)):
            return super().call_module(m, forward, args, kwargs)
        args, kwargs = before_call(m, args, kwargs)
        return after_call(m, args, kwargs, super().call_module(m, forward, args, kwargs))

    def path_of_module(self, mod: nn.Module) -> str:
        """Path of a module; one that forward has just made joins the network."""
        try:
            return super().path_of_module(mod)
        except NameError:
            kind = type(mod).__name__
            if not self.is_leaf_module(mod, kind) and self._holds_known_parts(mod):
                return f"{kind}_made_in_forward"
            if any(True for _ in mod.parameters()) or any(True for _ in mod.buffers()):
                raise TraceError(
                    f"forward makes a module with weights, {kind}; make it in the constructor"
                ) from None
            if "Dropout" in kind:
                raise TraceError(
                    f"forward makes a module {kind}, which is in training mode; make it in the constructor"
                ) from None
            name = f"made_in_forward_{sum(path.startswith('made_in_forward') for path in self._paths())}"
            self.root.add_module(name, mod.eval())
            self.submodule_paths = {**(self.submodule_paths or {}), mod: name}
            return name

    def create_arg(self, a: Any) -> Any:
        """Argument of an operation; NumPy's numbers are numbers."""
        return super().create_arg(a.item() if isinstance(a, np.generic) else a)

    def sizes_for_numbers(self, values: Any) -> Any:
        """Arguments as they are; see `SizedTracer`."""
        return values

    def _holds_known_parts(self, module: nn.Module) -> bool:
        """True for a container that forward made of the network's modules, as by taking a slice of them."""
        known = set(self.root.modules())
        inside = [part for part in module.modules() if part not in known]
        return not any(
            part._parameters or part._buffers or "Dropout" in type(part).__name__ for part in inside
        )

    def _paths(self) -> list[str]:
        return [path for path, _ in self.root.named_modules()]


class _Value(fx.Proxy):
    """A value of the graph, into which the network's code may write."""

    __array_ufunc__ = None  # numbers of NumPy leave products with it to torch

    def __setitem__(self, index: Any, value: Any) -> None:
        self.tracer.create_proxy("call_function", operator.setitem, (self, index, value), {})


class _Watched(_Value):
    """A value of the graph beside which two examples run."""

    def __getattr__(self, k: str) -> Any:
        if k in _PROPERTIES or k == _DATA:
            return self.tracer.create_proxy("call_function", getattr, (self, k), {})
        return super().__getattr__(k)

    def __len__(self) -> int:
        tracer: Any = self.tracer
        return int(tracer.length_of(self))

    def __int__(self) -> int:
        tracer: Any = self.tracer
        return int(tracer.number_for(self))


class SizedTracer(PlainTracer):
    """Traces with sizes known; see the top of this file.

    Args:
        images: example images [B, ...]; only the first is used.
    """

    def __init__(self, images: Tensor) -> None:
        super().__init__()
        self._examples = [torch.cat([images[:1]] * count) for count in (2, 3)]
        self._values: dict[fx.Node, list[Any]] = {}  # of every node, for both examples
        self._sizes: set[fx.Node] = set()  # what depends on sizes alone, not on pixels
        self._numbers: dict[int, fx.Proxy] = {}  # made up -> the size that it stands for
        self._running = False  # an example runs: nothing is traced

    def proxy(self, node: fx.Node) -> fx.Proxy:
        """Stand-in for a value."""
        return _Watched(node, self)

    def create_proxy(self, kind: str, target: Any, args: Any, kwargs: Any, *more: Any, **named: Any) -> Any:
        """Add an operation to the graph and run it on the examples.

        Returns:
            What the network's code sees: a number where it is one that both examples agree on.
        """
        args, kwargs = self.sizes_for_numbers((args, kwargs))
        proxy = super().create_proxy(kind, target, args, kwargs, *more, **named)
        self._values[proxy.node] = [self._run(kind, target, args, kwargs, index) for index in (0, 1)]
        is_size = target in _SIZE_QUESTIONS or (target is getattr and args[1] in _PROPERTIES)
        sources: list[Any] = []
        fx.node.map_aggregate((args, kwargs), lambda a: sources.append(a) if is_proxy(a) else None)
        if is_size or (sources and all(source.node in self._sizes for source in sources)):
            self._sizes.add(proxy.node)
            return self._seen(proxy)
        if target in _FROM_SIZES:
            one, two = self._values[proxy.node]
            if one.shape == two.shape and torch.equal(one, two):
                return one.clone()  # the code may write into it
        return proxy

    def _run(self, kind: str, target: Any, args: Any, kwargs: Any, index: int) -> Any:
        """Result of one operation on one example."""

        def real(value: Any) -> Any:
            return self._values[value.node][index] if is_proxy(value) else value

        args, kwargs = fx.node.map_aggregate(args, real), fx.node.map_aggregate(kwargs, real)
        if kind == "placeholder":
            return self._examples[index]
        self._running = True
        try:
            with torch.no_grad():
                if kind == "get_attr":
                    parent, _, name = str(target).rpartition(".")
                    return getattr(self.root.get_submodule(parent), name)
                if kind == "call_module":
                    return self.root.get_submodule(str(target))(*args, **kwargs)
                if kind == "call_method":
                    return getattr(args[0], str(target))(*args[1:], **kwargs)
                return target(*args, **kwargs)
        finally:
            self._running = False

    def number_for(self, proxy: fx.Proxy) -> int:
        """A made-up whole number for int(size), where the size depends on the number of images.

        Python insists on a number there. Where it becomes an argument of an operation, the size takes its
        place again; a network that computes with it gives sizes that no operation takes.
        """
        if proxy.node not in self._sizes:
            raise TraceError("its code turns pixels into a whole number")
        number = _MADE_UP + 2 * len(self._numbers)
        self._numbers[number] = self.create_proxy("call_function", int, (proxy,), {})
        return number

    def sizes_for_numbers(self, values: Any) -> Any:
        """Arguments with sizes in place of the numbers that `number_for` made up."""
        if not self._numbers:
            return values

        def size(value: Any) -> Any:
            return self._numbers.get(value, value) if type(value) is int else value

        return fx.node.map_aggregate(values, size)

    def _seen(self, proxy: fx.Proxy) -> Any:
        one, two = self._values[proxy.node]
        if one is not two and proxy.node.target in (operator.eq, operator.ne) and {one, two} == {True, False}:
            return proxy.node.target is operator.ne  # a number of images, compared with a single number
        if _is_plain([one]) and one == two and type(one) is type(two):
            return one
        if isinstance(one, tuple) and isinstance(two, tuple) and len(one) == len(two):
            return tuple(
                a
                if _is_plain([a]) and a == b
                else self.create_proxy("call_function", operator.getitem, (proxy, index), {})
                for index, (a, b) in enumerate(zip(one, two, strict=True))
            )
        return proxy

    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Trace a module call; run it where an example runs."""
        return forward(*args, **kwargs) if self._running else super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        """Attribute of a module: a value of the graph, or itself where an example runs."""
        if self._running:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)

    def length_of(self, obj: fx.Proxy) -> int:
        """Length of a tuple or of a tensor's first axis; a made-up one where that is the number of images."""
        if isinstance(self._values[obj.node][0], Tensor):
            size: Any = self.create_proxy("call_method", "size", (obj, 0), {})
            return size if isinstance(size, int) else self.number_for(size)
        return self._count(obj)

    def _count(self, obj: fx.Proxy) -> int:
        one, two = (len(value) for value in self._values[obj.node])
        if one != two:
            raise TraceError("its code depends on the number of images")
        return one

    def iter(self, obj: fx.Proxy) -> Iterator[Any]:
        """Items of a tuple or of a tensor's first axis."""
        if all(isinstance(value, tuple | list | Tensor) for value in self._values[obj.node]):
            items: Any = obj
            return iter([items[index] for index in range(self._count(obj))])
        return super().iter(obj)


def _is_plain(values: list[Any]) -> bool:
    """True for numbers, words and sizes, which do not depend on the values of pixels here."""
    return all(
        isinstance(value, _PLAIN) or (isinstance(value, tuple | list) and _is_plain(list(value)))
        for value in values
    )
