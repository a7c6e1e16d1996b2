"""Parts of a network that are converted on their own: find them, and what flows into them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from conversion.errors import SubmoduleError
from conversion.nearest import did_you_mean

_CHOICES_NAMED = 10  # paths that an error lists


def find_submodule(network: nn.Module, path: str) -> nn.Module:
    """Submodule at a dotted path.

    Raises:
        SubmoduleError: there is none; names the nearest path.
    """
    modules = dict(network.named_modules(remove_duplicate=False))
    if path not in modules:
        top = [name for name, _ in network.named_children()][:_CHOICES_NAMED]
        hint = did_you_mean(path, modules)
        raise SubmoduleError(
            f"{type(network).__name__} has no submodule '{path}'; {hint}at the top: {', '.join(top)}"
        )
    found: nn.Module = modules[path]
    return found


def inputs_of(network: nn.Module, path: str, batches: Sequence[Tensor]) -> list[Tensor]:
    """What flows into a submodule when images run through the whole network in eval mode.

    Args:
        network: left untouched.
        path: of the submodule.
        batches: images [B, C, H, W].

    Returns:
        One tensor per call of the submodule.

    Raises:
        SubmoduleError: it is never called, or with anything but one positional tensor.
    """
    seen: list[Tensor] = []

    def note(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if len(args) != 1 or kwargs or not isinstance(args[0], Tensor):
            given = ", ".join([type(value).__name__ for value in args] + [f"{key}=" for key in kwargs])
            raise SubmoduleError(
                f"submodule '{path}' is called with ({given}); only a submodule that takes one tensor, by "
                "position, converts on its own"
            )
        seen.append(args[0].detach().clone())

    handle = find_submodule(network, path).register_forward_pre_hook(note, with_kwargs=True)
    try:
        with in_eval_mode(network):
            for images in batches:
                network(images)
    finally:
        handle.remove()
    if not seen:
        raise SubmoduleError(
            f"submodule '{path}' is never called when images run through {type(network).__name__}"
        )
    return seen


@contextmanager
def in_eval_mode(network: nn.Module) -> Iterator[None]:
    """Run a network in eval mode; every module gets its own mode back."""
    modes = {module: module.training for module in network.modules()}
    try:
        network.eval()
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
