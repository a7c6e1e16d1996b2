"""Modules of torch.nn as plain data: class, settings, weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from conversion.graph.names import module_classes, name_of_class
from conversion.graph.plain import CannotStore, Reader, Writer

_OF_EVERY_MODULE = frozenset(vars(nn.Module()))
_HOOKS = ("_forward_hooks", "_forward_pre_hooks")


class ModuleWriter:
    """Writes modules, each once.

    Args:
        writer: of their values.

    Attributes:
        table: what is written so far.
    """

    def __init__(self, writer: Writer) -> None:
        self.table: list[dict[str, Any]] = []
        self._writer = writer
        self._numbers: dict[int, int] = {}
        self._held: list[nn.Module] = []  # or another object might get the same id

    def number(self, module: nn.Module, path: str) -> int:
        """Position of a module in the table.

        Args:
            module: of a class in `conversion.graph.names`.
            path: where it is, for messages.

        Raises:
            CannotStore: it cannot be stored; says why.
        """
        if id(module) not in self._numbers:
            kind = name_of_class(type(module))
            if kind is None:
                name = f"{type(module).__module__}.{type(module).__qualname__}"
                raise CannotStore(f"module '{path}' of class {name}")
            if any(getattr(module, hooks) for hooks in _HOOKS):
                raise CannotStore(f"hooks of module '{path}'; remove them")
            content = self.content(module, path)
            self._numbers[id(module)] = len(self.table)
            self._held.append(module)
            self.table.append({"class": kind, **content})
        return self._numbers[id(module)]

    def content(
        self, module: nn.Module, path: str, settings: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """What a module holds.

        Args:
            module: it.
            path: where it is, for messages.
            settings: its attributes that are no weights; all of them if None.
        """
        if settings is None:
            settings = {name: v for name, v in vars(module).items() if name not in _OF_EVERY_MODULE}
        temporary = module._non_persistent_buffers_set
        written: dict[str, Any] = {}
        for name, value in settings.items():
            try:
                written[name] = self._writer.value(value)
            except CannotStore as error:
                raise CannotStore(f"attribute '{name}' of module '{path}', {error}") from None
        return {
            "training": module.training,
            "settings": written,
            "parameters": {name: self._writer.value(value) for name, value in module._parameters.items()},
            "buffers": {name: self._writer.value(value) for name, value in module._buffers.items()},
            "temporary": sorted(temporary),
            "modules": {
                name: None if child is None else self.number(child, f"{path}.{name}".lstrip("."))
                for name, child in module._modules.items()
            },
        }


class ModuleReader:
    """Reads what a `ModuleWriter` wrote.

    Args:
        table: the writer's.
        reader: of values.
    """

    def __init__(self, table: list[dict[str, Any]], reader: Reader) -> None:
        self._reader = reader
        self._parameters: dict[int, nn.Parameter] = {}
        self._modules: list[nn.Module] = []
        for content in table:  # parts come before the whole
            kind = module_classes().get(content["class"])
            if kind is None:
                raise ValueError(f"a module of class {content['class']!r}, which no network holds")
            module = kind.__new__(kind)
            nn.Module.__init__(module)
            self.fill(module, content)
            self._modules.append(module)

    def fill(self, module: nn.Module, content: Mapping[str, Any]) -> None:
        """Give a module what it holds."""
        for name, data in content["settings"].items():
            check_name(name)
            if (
                name in _OF_EVERY_MODULE
                or name.startswith("__")
                or callable(getattr(type(module), name, None))
            ):
                raise ValueError(f"the setting {name!r} of a module")
            module.__dict__[name] = self._reader.value(data)
        for name, data in content["parameters"].items():
            check_name(name)
            module._parameters[name] = None if data is None else self._parameter(data)
        for name, data in content["buffers"].items():
            check_name(name)
            value = self._reader.value(data)
            if value is not None and not isinstance(value, Tensor):
                raise ValueError(f"the buffer {name!r} of a module")
            module._buffers[name] = value
        module._non_persistent_buffers_set = set(content["temporary"])
        for name, number in content["modules"].items():
            check_name(name)
            module._modules[name] = None if number is None else self.module(number)
        module.training = bool(content["training"])

    def module(self, number: Any) -> nn.Module:
        """A module that is read already."""
        if type(number) is not int or not 0 <= number < len(self._modules):
            raise ValueError(f"module {number!r} of {len(self._modules)}")
        return self._modules[number]

    def _parameter(self, data: Any) -> nn.Parameter:
        number = data["$tensor"]
        if number not in self._parameters:  # layers may share one
            self._parameters[number] = nn.Parameter(self._reader.tensor(number), requires_grad=False)
        return self._parameters[number]


def check_name(name: Any) -> None:
    """Refuse names that would be more than a name in the code that torch.fx makes.

    Raises:
        ValueError: this is one.
    """
    plain = isinstance(name, str) and name.isprintable() and not any(mark in name for mark in "\"'\\.{}")
    if not plain or not name:
        raise ValueError(f"the name {name!r}")
