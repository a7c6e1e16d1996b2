"""Try images on a network: whether it runs on them at all, and if not, which layer stops and why."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from conversion.errors import CalibrationError, ConversionError
from conversion.graph.submodules import in_eval_mode

_REASON = 200  # characters of another library's message


def check_takes(network: nn.Module, images: Tensor, name: str, sizes: set[torch.Size]) -> None:
    """Refuse images that a network does not run on.

    Args:
        network: is run in eval mode.
        images: [B, ...].
        name: what messages call them.
        sizes: of images that it takes, which are not tried again; the new one is added.

    Raises:
        CalibrationError: says which layer stopped, and why.
    """
    if images.shape[1:] in sizes:
        return
    one = images[:1]
    # One and two: three channels, taken for a batch of three, pass for an image without a batch axis.
    for batch in (one, torch.cat([one, one])):
        reason = why_not(network, batch)
        if reason is None:
            continue
        found = f"{name}: {type(network).__name__} does not take images of shape {list(images.shape)}"
        if why_not(network, images[None]) is None:
            raise CalibrationError(
                f"{found}; they seem to be one image without the axis of images [B, ...]. Add it by "
                "images[None], stack single images by torch.stack(images), or pass a data set in batches: "
                "DataLoader(dataset, batch_size=32)"
            )
        if sizes:
            found += f", but of {' and '.join(str(['B', *size]) for size in sizes)}".replace("'", "")
        raise CalibrationError(f"{found}: {reason}")
    sizes.add(images.shape[1:])


def takes_one_argument(network: nn.Module) -> bool:
    """True where a network can be called with images alone."""
    try:
        inspect.signature(network.forward).bind(None)
    except TypeError:
        return False
    except ValueError:  # it has no signature
        return True
    return True


def why_not(network: nn.Module, images: Tensor) -> str | None:
    """Why a network does not run on images, and in which layer; None if it does."""
    try:
        _run(network, images)
    except ConversionError:
        raise
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # its own code may raise anything
        lines = str(error).splitlines() or [type(error).__name__]
        return f"{_stopped_in(network, images)}{lines[0][:_REASON]}"
    return None


def _run(network: nn.Module, images: Tensor) -> None:
    with torch.no_grad(), in_eval_mode(network), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network(images.clone())


def _stopped_in(network: nn.Module, images: Tensor) -> str:
    """The innermost module that an error comes from, and what it got; "" for the network's own forward."""
    entered: list[str] = []
    handles: list[Any] = []

    def watch(path: str, module: nn.Module) -> None:
        def enter(module: nn.Module, args: tuple[Any, ...]) -> None:
            shape = f" of {list(args[0].shape)}" if args and isinstance(args[0], Tensor) else ""
            entered.append(f"layer '{path}', {module}, stops at an input{shape}: " if shape else "")

        handles.append(module.register_forward_pre_hook(enter))
        handles.append(module.register_forward_hook(lambda *_: entered.pop() and None))

    try:
        for path, module in network.named_modules():
            if path and not isinstance(module, torch.jit.ScriptModule) and not list(module.children()):
                watch(path, module)
        _run(network, images)
    except Exception:
        return entered[-1] if entered else ""
    finally:
        for handle in handles:
            handle.remove()
    return ""
