"""Hooks on modules: those that change what a network computes become part of its graph, others are left out.

Hooks that only look, to print shapes or keep activations, shall not see what stands for a value while
the network is traced.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from conversion.signals.signals import map_structure

_HOOKS = ("_forward_pre_hooks", "_forward_hooks")


def settle_hooks(network: nn.Module, images: Tensor | None) -> None:
    """Take the hooks off a network, in place, if it computes the same without them.

    Args:
        network: a copy, in eval mode.
        images: what it takes; None: hooks stay.
    """
    kept = {module: {name: dict(getattr(module, name)) for name in _HOOKS} for module in network.modules()}
    if images is None or not any(hooks for found in kept.values() for hooks in found.values()):
        return
    expected = _outputs(network, images)
    without_hooks(network)
    if not _same(_outputs(network, images), expected):
        for module, found in kept.items():
            for name, hooks in found.items():
                getattr(module, name).update(hooks)


def without_hooks(network: nn.Module) -> None:
    """Take the hooks off a network, in place."""
    for module in network.modules():
        for name in _HOOKS:
            getattr(module, name).clear()


def before_call(module: Any, args: Any, kwargs: Any) -> tuple[Any, Any]:
    """Arguments of a call after the hooks before it, as torch runs them."""
    for number, hook in module._forward_pre_hooks.items():
        if number in module._forward_pre_hooks_with_kwargs:
            args, kwargs = hook(module, args, kwargs) or (args, kwargs)
            continue
        changed = hook(module, args)
        if changed is not None:
            args = changed if isinstance(changed, tuple) else (changed,)
    return args, kwargs


def after_call(module: Any, args: Any, kwargs: Any, result: Any) -> Any:
    """Result of a call after the hooks that follow it, as torch runs them."""
    for number, hook in module._forward_hooks.items():
        with_kwargs = number in module._forward_hooks_with_kwargs
        changed = hook(module, args, kwargs, result) if with_kwargs else hook(module, args, result)
        if changed is not None:
            result = changed
    return result


def _outputs(network: nn.Module, images: Tensor) -> list[Tensor]:
    found: list[Tensor] = []
    with torch.no_grad():
        map_structure(found.append, Tensor, network(images[:2].clone()))
    return found


def _same(ours: list[Tensor], theirs: list[Tensor]) -> bool:
    return len(ours) == len(theirs) and all(
        one.shape == two.shape and torch.equal(one.nan_to_num(), two.nan_to_num())
        for one, two in zip(ours, theirs, strict=True)
    )
