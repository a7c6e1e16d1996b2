"""Values as plain data: numbers, words, lists and dictionaries with words as keys, as JSON has them.

A value that JSON does not have becomes a dictionary of one entry whose key names its type, such as
{"$tuple": [1, 2]}. Tensors are kept in a table of their own. Dataclasses of this package and parts of
recipes are written as their names and fields. Reading such data calls nothing but what is in
`conversion.graph.names`, or makes these classes.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import math
from enum import Enum
from typing import Any

import torch
from torch import Tensor

from conversion.graph.names import functions, name_of_function
from conversion.graph.plain_nodes import Named, Ref
from conversion.parts import Part, build_part

_FORMATS = ("contiguous_format", "preserve_format", "channels_last", "channels_last_3d")
_LAYOUTS = ("strided",)
_OF_TORCH = {"$dtype": torch.dtype, "$format": torch.memory_format, "$layout": torch.layout}
_OURS = "conversion."


class CannotStore(Exception):
    """A value has no plain form; says which."""


class Writer:
    """Writes values, and collects their tensors.

    Attributes:
        tensors: each once, however often values hold it; `Tensor` number i of the data is tensors[i].
    """

    def __init__(self) -> None:
        self.tensors: list[Tensor] = []
        self._numbers: dict[int, int] = {}

    def value(self, value: Any) -> Any:
        """Plain form of a value.

        Raises:
            CannotStore: it has none.
        """
        if value is None or isinstance(value, bool | str):
            return value
        if type(value) is int:
            return value
        if type(value) is float:
            return value if math.isfinite(value) else {"$float": repr(value)}
        if isinstance(value, Tensor):
            return {"$tensor": self.number(value)}
        if isinstance(value, torch.Size):
            return {"$size": list(value)}
        if isinstance(value, list):
            return [self.value(entry) for entry in value]
        if type(value) is tuple:
            return {"$tuple": [self.value(entry) for entry in value]}
        if isinstance(value, dict):
            if all(isinstance(key, str) and not key.startswith("$") for key in value):
                return {key: self.value(entry) for key, entry in value.items()}
            return {"$dict": [[self.value(key), self.value(entry)] for key, entry in value.items()]}
        return self._rare(value)

    def _rare(self, value: Any) -> Any:
        if isinstance(value, Ref):
            return {"$node": value.index}
        if isinstance(value, Named):
            return {"$function": value.name}
        if isinstance(value, slice):
            return {"$slice": [self.value(part) for part in (value.start, value.stop, value.step)]}
        if isinstance(value, range):
            return {"$range": [value.start, value.stop, value.step]}
        if isinstance(value, complex):
            return {"$complex": [repr(value.real), repr(value.imag)]}
        if isinstance(value, set | frozenset):
            return {"$set": [self.value(entry) for entry in sorted(value, key=repr)]}
        if value is Ellipsis:
            return {"$ellipsis": True}
        for tag, kind in _OF_TORCH.items():
            if isinstance(value, kind):
                return {tag: str(value).removeprefix("torch.")}
        if isinstance(value, torch.device):
            return {"$device": str(value)}
        return self._of_class(value)

    def _of_class(self, value: Any) -> Any:
        kind = type(value)
        name = f"{kind.__module__}.{kind.__qualname__}"
        if isinstance(value, Part):
            return {"$part": [value.kind, self.value(value.as_dict())]}
        if name.startswith(_OURS) and isinstance(value, Enum):
            return {"$enum": [name, value.name]}
        if name.startswith(_OURS) and dataclasses.is_dataclass(value):
            fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
            return {"$record": [name, self.value(fields)]}
        function = name_of_function(value)
        if function is not None:
            return {"$call": function}
        if isinstance(value, type):
            raise CannotStore(f"the class {value.__module__}.{value.__qualname__}")
        if hasattr(value, "__qualname__"):
            raise CannotStore(f"the function {value.__module__}.{value.__qualname__}")
        raise CannotStore(f"a value of type {name}")

    def number(self, tensor: Tensor) -> int:
        """Position of a tensor in the table."""
        if id(tensor) not in self._numbers:
            self._numbers[id(tensor)] = len(self.tensors)
            self.tensors.append(tensor)
        return self._numbers[id(tensor)]


class Reader:
    """Reads what a `Writer` wrote.

    Args:
        tensors: the writer's table.
        device: takes the place of devices that the data name.
    """

    def __init__(self, tensors: list[Tensor], device: torch.device | None = None) -> None:
        self.tensors = tensors
        self.device = device

    def value(self, data: Any) -> Any:
        """The value of plain data.

        Raises:
            ValueError: no writer writes such data.
        """
        if data is None or isinstance(data, bool | int | float | str):
            return data
        if isinstance(data, list):
            return [self.value(entry) for entry in data]
        if not isinstance(data, dict):
            raise ValueError(f"a value of type {type(data).__name__}")
        tag = next(iter(data), "")
        if len(data) == 1 and isinstance(tag, str) and tag.startswith("$"):
            return self._tagged(tag, data[tag])
        return {self._key(key): self.value(entry) for key, entry in data.items()}

    @staticmethod
    def _key(key: Any) -> str:
        if not isinstance(key, str):
            raise ValueError(f"a key of type {type(key).__name__}")
        return key

    def _tagged(self, tag: str, content: Any) -> Any:
        if tag == "$tensor":
            return self.tensor(content)
        if tag == "$node":
            return Ref(_whole(content))
        if tag in ("$function", "$call"):
            if not isinstance(content, str) or content not in functions():
                raise ValueError(f"the function {content!r}, which no network calls")
            return Named(content) if tag == "$function" else functions()[content]
        if tag == "$float":
            return float(content)
        if tag == "$complex":
            return complex(*map(float, content))
        if tag == "$ellipsis":
            return Ellipsis
        if tag == "$device":
            return self.device or torch.device(content)
        if tag in _OF_TORCH:
            return _of_torch(tag, content)
        if tag == "$size":
            return torch.Size([_whole(side) for side in content])
        if not isinstance(content, list):
            raise ValueError(f"no list in {tag}")
        if tag in ("$part", "$enum", "$record"):
            first, second = content
            return _of_class(tag, first, self.value(second))
        if tag == "$dict":
            return {self.value(key): self.value(entry) for key, entry in content}
        entries = [self.value(entry) for entry in content]
        kinds: dict[str, Any] = {
            "$tuple": tuple,
            "$set": frozenset,
            "$slice": lambda parts: slice(*parts),
            "$range": lambda parts: range(*parts),
        }
        if tag not in kinds:
            raise ValueError(f"a value of an unknown kind {tag}")
        return kinds[tag](entries)

    def tensor(self, number: Any) -> Tensor:
        """One tensor of the table."""
        if not 0 <= _whole(number) < len(self.tensors):
            raise ValueError(f"tensor {number} of {len(self.tensors)}")
        found: Tensor = self.tensors[number]
        return found


def _of_class(tag: str, name: Any, content: Any) -> Any:
    if tag == "$part":
        return build_part(str(name), content)
    kind = _class_of(name)
    if tag == "$enum" and issubclass(kind, Enum):
        return kind[content]
    if tag == "$record" and dataclasses.is_dataclass(kind) and not issubclass(kind, Part):
        return kind(**content)
    raise ValueError(f"the class {name!r}, which no network holds")


def _class_of(name: Any) -> type:
    room, _, last = str(name).rpartition(".")
    try:
        found = getattr(importlib.import_module(room), last) if room.startswith(_OURS) else None
    except (ImportError, AttributeError):
        found = None
    if not isinstance(found, type) or found.__module__ != room:
        raise ValueError(f"the class {name!r}, which this version of SpikeMark does not have")
    return found


def _whole(number: Any) -> int:
    if type(number) is not int:
        raise ValueError(f"{number!r} in place of a whole number")
    return number


def _of_torch(tag: str, name: Any) -> Any:
    known = {
        "$dtype": [str(v).removeprefix("torch.") for v in vars(torch).values() if isinstance(v, torch.dtype)],
        "$format": _FORMATS,
        "$layout": _LAYOUTS,
    }
    if name not in known[tag]:
        raise ValueError(f"{tag[1:]} {name!r}")
    return getattr(torch, name)


def note(values: dict[str, Any]) -> Tensor:
    """Values without tensors as a tensor of bytes, which state dicts hold and files of tensors, too."""
    text = json.dumps(Writer().value(values))
    return torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)


def noted(bytes_: Tensor) -> dict[str, Any]:
    """What `note` was given.

    Raises:
        ValueError: `note` did not make this tensor.
    """
    found = Reader([]).value(json.loads(bytes(bytes_.cpu().tolist())))
    if not isinstance(found, dict):
        raise ValueError("no values by name")
    return found
