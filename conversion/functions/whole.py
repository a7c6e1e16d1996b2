"""Functions that stay whole in a captured graph, as one operation of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from torch import Tensor, fx

_Result = TypeVar("_Result", bound=Callable[..., Tensor])


def whole(function: _Result) -> _Result:
    """Let a function of signals become one operation where it is called while a network is traced."""

    @wraps(function)
    def call(*args: object) -> Tensor:
        for value in args:
            if isinstance(value, fx.Proxy):
                made: Any = value.tracer.create_proxy("call_function", call, args, {})
                return made  # type: ignore[no-any-return]
        return function(*args)

    return call  # type: ignore[return-value]
