"""Weights that hooks compute before every forward pass, as torch.nn.utils did before parametrisations.

`weight_norm`, `spectral_norm` and pruning keep what they compute beside the parameters. Such a
weight is no leaf tensor, so it cannot be copied, and the hooks would undo whatever is folded into it.
"""

from __future__ import annotations

import copy
from typing import TypeVar

from torch import Tensor, nn
from torch.nn.utils import prune, remove_spectral_norm, remove_weight_norm
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

_Module = TypeVar("_Module", bound=nn.Module)


def copied(network: _Module) -> _Module:
    """A deep copy in which computed weights are plain parameters, with the values of eval mode."""
    values = [value for module in network.modules() for value in vars(module).values()]
    known = {id(v): v.detach().clone() for v in values if isinstance(v, Tensor) and not v.is_leaf}
    twin = copy.deepcopy(network, known)
    for module in twin.modules():
        for hook in list(module._forward_pre_hooks.values()):
            if isinstance(hook, WeightNorm):
                remove_weight_norm(module, hook.name)
            elif isinstance(hook, SpectralNorm):
                remove_spectral_norm(module, hook.name)
            elif isinstance(hook, prune.BasePruningMethod):
                prune.remove(module, hook._tensor_name)
    return twin
