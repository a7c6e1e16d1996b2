"""Numbers that an accelerator still computes: the program waits for them only when they are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from torch import Tensor

T = TypeVar("T")


class Waiting(Mapping[str, T]):
    """A mapping whose values are made when they are first read.

    Args:
        values: what they are made of.
        number: makes one.
    """

    def __init__(self, values: Mapping[str, Any], number: Callable[[Any], T]) -> None:
        self._values = dict(values)
        self._number = number
        self._found: dict[str, T] = {}

    def __getitem__(self, key: str) -> T:
        if key not in self._found:
            self._found[key] = self._number(self._values[key])
        return self._found[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return repr(dict(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)


def numbers(values: Mapping[str, Any], number: Callable[[Any], T]) -> Mapping[str, T]:
    """Values read from tensors: at once where these are on a CPU, else when they are first used.

    Args:
        values: tensors, tuples of them, or numbers.
        number: makes a value of one.
    """
    if any(tensor.device.type != "cpu" for value in values.values() for tensor in _tensors(value)):
        return Waiting(values, number)
    return {name: number(value) for name, value in values.items()}


def _tensors(value: Any) -> list[Tensor]:
    values = value if isinstance(value, tuple) else (value,)
    return [one for one in values if isinstance(one, Tensor)]
