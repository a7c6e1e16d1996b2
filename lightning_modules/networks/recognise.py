"""Which registered network a state dict comes from, told by the names of its parameters."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from lightning_modules.networks import registry
from lightning_modules.networks.tensors import COUNTER


def looks_like(state: Mapping[str, Tensor]) -> str | None:
    """Find the registered network whose parameters have the same names.

    Args:
        state: a state dict without prefixes.

    Returns:
        Its name in the registry; None where no network matches.
    """
    keys = _parameters(state)
    for name in registry.names():
        with torch.device("meta"):  # names only, no memory
            candidate = registry.build(name, num_classes=10, in_channels=3, options={})
        if _parameters(candidate.state_dict()) == keys:
            return name
    return None


def _parameters(state: Mapping[str, Tensor]) -> set[str]:
    return {key for key in state if not key.endswith(COUNTER)}
