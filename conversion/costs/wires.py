"""What the values between two layers with weights carry, while `conversion.costs.synapses` counts synapses.

A wire holds spike counts, through which derivatives run back to the neurons that spiked. Constant factors
count as 1, or as 0 where they are 0. Counts are right as long as a spike reaches each value in one way;
wires know the sources for which that may be wrong (`merged`), and the exact ways (`paths`).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import count
from typing import Any, Literal

import torch
from torch import Tensor

from conversion.costs.paths import Paths, selection
from conversion.costs.spreads import Spread
from conversion.signals.signals import map_structure

Drive = Literal["analog", "spikes", "current", "mixed"]

Pair = tuple[Tensor, Tensor]
_APART = 2.0**32  # more values than a wire has


@dataclass(frozen=True, eq=False)
class Wire:
    """A value: its spikes, and whether it holds anything else.

    Attributes:
        counts: spikes, differentiable, float64 [F, C, ...]; an image has one row, or one for each frame.
        spikes: spikes arrive.
        analog: values of the image arrive.
        current: results of a layer with weights arrive.
        sources: layers whose spikes arrive.
        copied: of those, the ones whose spike may be in several values.
        merged: of those, the ones whose spike may come to a value in several ways.
        paths: the ways.
        products: products with constants that differ, of which this value is made; none yet in a layer.
        pair: factor of each value, and number of what it is a multiple of; where there are products.
        serial: number of the wire, unlike that of every other wire.
    """

    counts: Tensor
    spikes: bool = False
    analog: bool = False
    current: bool = False
    sources: frozenset[str] = frozenset()
    copied: frozenset[str] = frozenset()
    merged: frozenset[str] = frozenset()
    paths: Paths = field(default_factory=Paths)
    products: frozenset[Product] = frozenset()
    pair: Callable[[], Pair] | None = None
    serial: int = field(default_factory=count().__next__)

    @classmethod
    def of_source(cls, name: str, counts: Tensor) -> Wire:
        """What a layer sends."""
        paths = Paths(source=name, size=counts.numel())
        return cls(counts, spikes=True, sources=frozenset((name,)), paths=paths)

    def drive(self) -> Drive:
        """What a layer receives from here."""
        if self.current:
            return "current"
        if self.spikes:
            return "mixed" if self.analog else "spikes"
        return "analog"


@dataclass(frozen=True, eq=False)
class Product:
    """A signal times a constant whose entries differ.

    Attributes:
        name: of the operation.
        wire: the signal.
        factor: the constant, as large as the product.
        weights: entries of the constant.
        widens: the product is larger than the signal: one value meets several entries.
    """

    name: str
    wire: Wire
    factor: Tensor
    weights: int
    widens: bool

    def operations(self, counts: Tensor) -> Tensor:
        """Synaptic operations of spikes in the signal: each meets every entry at its place that is not 0."""
        return (counts * (self.factor != 0)).sum()


def silence(like: Tensor, shape: torch.Size, dtype: torch.dtype = torch.float64) -> Tensor:
    """No spikes at all: zeros of one shape that take the memory of one number."""
    return torch.zeros((), dtype=dtype, device=like.device).expand(shape)


def carried_by(values: Any) -> list[Wire]:
    """All wires in nested arguments, in order; one that is there twice comes twice."""
    found: list[Wire] = []
    map_structure(found.append, Wire, values)
    return found


def summed(operation: Callable[..., Any], args: Any, kwargs: Any, like: Tensor) -> Wire:
    """A sum or difference of signals and constants, element by element."""
    wires = carried_by([args, kwargs])
    factors = _factors(operation, args, kwargs, like)
    counts = sum((_times(w.counts, f) for w, f in zip(wires, factors, strict=True)), start=like.new_zeros(()))
    assert isinstance(counts, Tensor)
    result = _joined(wires, counts.double(), [_scaling(w, f) for w, f in zip(wires, factors, strict=True)])
    widened = [w for w, f in zip(wires, factors, strict=True) if f.numel() > w.counts.numel()]
    pair = _placed(wires[0], factors[0]) if len(wires) == 1 and wires[0].products else None
    return replace(result, copied=result.copied | _all_sources(widened), pair=pair)


def scaled(name: str, operation: Callable[..., Any], args: Any, kwargs: Any, like: Tensor) -> Wire:
    """A signal times constants, element by element, or a batch norm."""
    (wire,) = carried_by([args, kwargs])
    (factor,) = _factors(operation, args, kwargs, like)
    result = _joined([wire], _times(wire.counts, factor), [_scaling(wire, factor)])
    widens = factor.numel() > wire.counts.numel()
    products = wire.products
    used = factor[factor != 0]
    if used.numel() and bool((used != used[0]).any()):
        constants = [v for v in (*_flat(args), *_flat(kwargs)) if isinstance(v, Tensor)]
        weights = max((constant.numel() for constant in constants), default=factor.shape[1])
        products = products | {Product(name, wire, factor, weights, widens)}
    return replace(
        result,
        copied=result.copied | (wire.sources if widens else frozenset()),
        products=products,
        pair=_placed(wire, factor) if products else None,
    )


def spread(fixed: Spread, wire: Wire, shape: torch.Size) -> Wire:
    """An average, a sum or an interpolation."""
    counts = fixed.count(wire.counts)
    if counts.shape != shape:
        raise AssertionError(f"fan-out of a value of shape {tuple(shape)} is {tuple(counts.shape)}")
    result = _joined([wire], counts, [fixed.matrix])
    merged = result.merged | (wire.copied if fixed.merges else frozenset())
    copied = result.copied | (wire.sources if fixed.copies else frozenset())
    return replace(result, merged=merged, copied=copied, products=frozenset())


def moved(operation: Callable[..., Any], args: Any, kwargs: Any, may_copy: bool) -> Any:
    """An operation that moves, copies or drops values.

    Args:
        operation: runs it on plain tensors.
        args: its arguments, with wires for signals.
        kwargs: its keyword arguments.
        may_copy: it may repeat values, even where the result is not larger.

    Returns:
        Its result, with wires for tensors.
    """
    wires = carried_by([args, kwargs])
    ends: list[int] = []  # of each wire in the numbers of all values
    for wire in wires:
        ends.append((ends[-1] if ends else 0) + wire.counts.numel())

    # Some operations want all their tensors of one type.
    plain_args, plain_kwargs = map_structure(_exact, Tensor, (args, kwargs))

    def run(tensors: Iterable[Tensor]) -> Any:
        following = iter(tensors)
        new_args, new_kwargs = map_structure(lambda _: next(following), Wire, (plain_args, plain_kwargs))
        return operation(*new_args, **new_kwargs)

    @cache
    def origins() -> list[Tensor]:
        """For each tensor of the result: number of each value's origin, from 1 on; 0 for a constant."""
        numbers = [
            _numbered(wire.counts, end - wire.counts.numel()) for wire, end in zip(wires, ends, strict=True)
        ]
        found = _tensors(run(numbers))
        if any(tensor.dtype != torch.float64 for tensor in found):  # a cast, which rounds large numbers
            return [number.long() for number in numbers]
        at_zero = _tensors(run([torch.zeros_like(number) for number in numbers]))
        return [(one - zero).long() for one, zero in zip(found, at_zero, strict=True)]

    def step(output: int, index: int) -> Any:
        size = wires[index].counts.numel()
        chosen = origins()[output] - 1 - (ends[index] - size)
        return selection(chosen.where((chosen >= 0) & (chosen < size), -1), size)

    def pairs() -> list[Pair]:
        known = [pair_of(wire) for wire in wires]
        return list(zip(*(_tensors(run(column)) for column in zip(*known, strict=True)), strict=True))

    any_products = any(wire.products for wire in wires)
    results = run([wire.counts for wire in wires])
    following = iter(range(len(_tensors(results))))
    given = sum(wire.counts.numel() for wire in wires)

    def wired(counts: Tensor) -> Wire:
        output = next(following)
        steps = [lambda index=index: step(output, index) for index in range(len(wires))]
        result = _joined(wires, counts.double(), steps, apart=True)
        copies = may_copy or counts.numel() > given
        return replace(
            result,
            copied=result.copied | (result.sources if copies else frozenset()),
            pair=(lambda: pairs()[output]) if any_products else None,
        )

    return map_structure(wired, Tensor, results)


def mixes(wire: Wire, fixed: Spread) -> bool:
    """True where a sum adds multiples of different values by different factors."""
    return wire.pair is not None and fixed.mixed(*wire.pair())


def pair_of(wire: Wire) -> Pair:
    """Factor of each value, and number of what it is a multiple of."""
    if wire.pair is not None:
        return wire.pair()
    return torch.ones_like(wire.counts), _numbered(wire.counts, wire.serial * _APART)


def _joined(
    wires: list[Wire], counts: Tensor, steps: Sequence[Callable[[], Any]], apart: bool = False
) -> Wire:
    """What is made of several wires.

    Args:
        wires: the wires.
        counts: spikes of the result.
        steps: for each wire, what makes the matrix from its values to the result's.
        apart: each value of the result comes from one wire.
    """
    several = frozenset(
        source
        for wire in set(wires)
        for source in wire.sources
        if sum(source in w.sources for w in wires) > 1
    )
    merged = frozenset[str]().union(*(wire.merged for wire in wires))
    current = any(wire.current for wire in wires)
    return Wire(
        counts,
        spikes=any(wire.spikes for wire in wires),
        analog=any(wire.analog for wire in wires),
        current=current,
        sources=_all_sources(wires),
        copied=frozenset[str]().union(*(wire.copied for wire in wires)) | several,
        merged=merged if apart else merged | several,
        paths=Paths([(wire.paths, cache(step)) for wire, step in zip(wires, steps, strict=True)]),
        products=frozenset[Product]().union(*(wire.products for wire in wires)),
    )


def _all_sources(wires: list[Wire]) -> frozenset[str]:
    return frozenset[str]().union(*(wire.sources for wire in wires))


def _factors(operation: Callable[..., Any], args: Any, kwargs: Any, like: Tensor) -> list[Tensor]:
    """Derivative of an operation that works element by element, for each wire, as large as the result."""
    wires = carried_by([args, kwargs])
    zeros = tuple(silence(like, wire.counts.shape, like.dtype) for wire in wires)

    def run(*tensors: Tensor) -> Tensor:
        following = iter(tensors)
        new_args, new_kwargs = map_structure(lambda _: next(following), Wire, (args, kwargs))
        result: Tensor = operation(*new_args, **new_kwargs)
        return result

    found = []
    with warnings.catch_warnings():
        # The first such derivative makes PyTorch compile some of its own code, and warn of how it does that.
        warnings.filterwarnings("ignore", r".*torch\.jit\.script", FutureWarning)
        for index in range(len(wires)):
            one = torch.ones((), dtype=like.dtype, device=like.device)
            tangents = tuple(one.expand(zero.shape) if i == index else zero for i, zero in enumerate(zeros))
            found.append(torch.func.jvp(run, zeros, tangents)[1].detach())
    return found


def _times(counts: Tensor, factor: Tensor) -> Tensor:
    """Spikes times factors that count as 1, or as 0."""
    if bool((factor != 0).all()):
        return counts.expand(factor.shape)
    return counts * (factor != 0)


def _scaling(wire: Wire, factor: Tensor) -> Callable[[], Any]:
    def step() -> Any:
        chosen = _numbered(wire.counts, -1).expand(factor.shape).long()
        return selection(chosen, wire.counts.numel(), factor)

    return step


def _placed(wire: Wire, factor: Tensor) -> Callable[[], Pair]:
    """Factors and origins after a product."""

    @cache
    def pair() -> Pair:
        factors, origins = pair_of(wire)
        return factors * factor, origins.expand(factor.shape)

    return pair


def _numbered(like: Tensor, before: float) -> Tensor:
    """Numbers of values, from `before` + 1 on."""
    numbers = torch.arange(like.numel(), dtype=torch.float64, device=like.device)
    return numbers.view(like.shape) + (before + 1)


def _exact(constant: Tensor) -> Tensor:
    return constant.double() if constant.is_floating_point() else constant


def _tensors(values: Any) -> list[Tensor]:
    found: list[Tensor] = []
    map_structure(found.append, Tensor, values)
    return found


def _flat(values: Any) -> list[Any]:
    if isinstance(values, dict):
        values = list(values.values())
    if isinstance(values, list | tuple):
        return [leaf for value in values for leaf in _flat(value)]
    return [values]
