"""The network that a user wants to convert: without its wrappers, or refused with advice."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx, nn
from torch.nn.parameter import is_lazy

from conversion.converted import Converted
from conversion.errors import CaptureError, ConversionError, SubmoduleError
from conversion.graph.computed_weights import copied
from conversion.inputs import HALVES

# Modules around a network that change how it runs, and not what it computes: where they keep it.
_WRAPPERS = {
    "OptimizedModule": "_orig_mod",  # torch.compile
    "DataParallel": "module",
    "DistributedDataParallel": "module",
    "_FabricModule": "_original_module",
}
_SHARDED = {"FullyShardedDataParallel", "FSDPModule"}
_REASON = 200  # characters of another library's message


def trained_network(ann: Any, submodule: str | None = None) -> tuple[nn.Module, str | None]:
    """A copy of the network itself, and the path of a part of it.

    Args:
        ann: what a user has; wrappers of torch.compile and of distributed training come off.
        submodule: path of the part to convert, with or without the names that wrappers add.

    Returns:
        The network, and the path in it. Half precision becomes float32: the weights stay the same, and
        sums over many time steps need the digits.

    Raises:
        TypeError: it is no module.
        SubmoduleError: the path is no text.
        ConversionError: it cannot be converted; says why, and what to pass instead.
    """
    if not isinstance(ann, nn.Module):
        raise TypeError(f"the network to convert must be a torch.nn.Module, {_instead(ann)}")
    if submodule is not None and not isinstance(submodule, str):
        given = type(submodule).__name__
        raise SubmoduleError(f'submodule must be the path of a part, such as "backbone", got {given}')
    network = ann
    while (inside := _WRAPPERS.get(type(network).__name__)) is not None:
        network = getattr(network, inside)
        submodule = submodule and submodule.removeprefix(f"{inside}.")
    if submodule is not None:
        submodule = ".".join(name for name in submodule.split(".") if name != "_orig_mod")
    _refuse(network, submodule)
    network = _unwrapped_inside(_copied(network))
    kinds = {tensor.dtype for tensor in network.parameters() if tensor.is_floating_point()}
    if kinds & set(HALVES) and torch.float64 not in kinds:
        network.float()
    return network, submodule


def _copied(network: nn.Module) -> nn.Module:
    try:
        return copied(network)
    except Exception as error:  # whatever its attributes raise
        raise ConversionError(
            f"{type(network).__name__} cannot be copied: {str(error)[:_REASON]}\n"
            "  Remove attributes that are no weights"
        ) from error


def _unwrapped_inside(network: nn.Module) -> nn.Module:
    """Take wrappers off the parts of a network, in place."""
    for module in list(network.modules()):
        for name, child in module._modules.items():
            while child is not None and (inside := _WRAPPERS.get(type(child).__name__)) is not None:
                child = module._modules[name] = getattr(child, inside)
    return network


def _refuse(network: nn.Module, submodule: str | None) -> None:
    kind = type(network).__name__
    for path, module in network.named_modules():
        if not _belongs(path, submodule):
            continue
        where = f"its part '{path}'" if path else "it"
        if isinstance(module, Converted):
            raise ConversionError(
                f"the network cannot be converted: {where} is converted already, with recipe "
                f"'{module.recipe.label}'; pass the network that it came from"
            )
        if isinstance(module, torch.jit.ScriptModule):
            what = f"the part '{path}'" if path else kind
            raise CaptureError(
                f"{what} is compiled by torch.jit, and its Python code is gone; pass the module that was "
                "scripted or traced"
            )
        # FloatFunctional adds in floating point until the network around it is quantised.
        if ".quantized" in type(module).__module__ and type(module).__name__ != "FloatFunctional":
            raise ConversionError(
                f"the network cannot be converted: {where} is quantised ({type(module).__module__}."
                f"{type(module).__name__}); pass the network in floating point. The recipe ptq quantises it"
            )
    if isinstance(network, fx.GraphModule) and _is_exported(network):
        raise CaptureError(
            "the network comes from torch.export, which keeps no modules and a fixed batch; pass the "
            "module that was exported"
        )
    if _SHARDED & {cls.__name__ for cls in type(network).__mro__}:
        raise ConversionError(
            "the network's weights are sharded over processes; load its full state dict into a plain network"
        )
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    for path, tensor in tensors.items():
        if is_lazy(tensor):
            raise ConversionError(
                f"'{path}' has no shape yet, since its module is lazy; run a batch through the network first"
            )
        if tensor.is_meta:
            raise ConversionError(
                f"'{path}' is on the device meta and has no values; load the trained weights first, for "
                "example network.to_empty(device='cpu'), then load_state_dict"
            )
    devices = sorted({str(tensor.device) for tensor in tensors.values()})
    if len(devices) > 1:
        raise ConversionError(
            f"the network is spread over the devices {', '.join(devices)}; move all of it to one"
        )


def _belongs(path: str, submodule: str | None) -> bool:
    """True for a module that is converted, and for those around it."""
    return not submodule or f"{path}.".startswith(f"{submodule}.") or f"{submodule}.".startswith(f"{path}.")


def _is_exported(network: fx.GraphModule) -> bool:
    return any(isinstance(node.target, torch._ops.OpOverload) for node in network.graph.nodes)


def _instead(given: Any) -> str:
    if isinstance(given, type):
        return f"got the class {given.__name__}; pass an instance of it, with trained weights"
    kind = type(given).__name__
    if isinstance(given, dict):
        return f"got {kind}; build the network and load a state dict into it by load_state_dict"
    return f"got {kind}"
