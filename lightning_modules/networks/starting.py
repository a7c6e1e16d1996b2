"""Begin training from another network's weights: the usual way to train for conversion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from conversion.fitting.statistics import ActivationStatistics
from conversion.graph.activations import LEAST_CEILING, QCFS
from conversion.scales.least_squares import best_range
from lightning_modules.networks.weights import load_shared


def start_from(network: nn.Module, source: nn.Module, images: Tensor) -> None:
    """Give a network the weights of another one, in place, and its activations thresholds that suit them.

    Everything but the activations must be the same in both. A learned threshold λ that the other
    network has as well is taken over. Any other minimises the squared difference between ReLU and the
    activation's L levels on what arrives there, all activations being ReLU for this measurement; so
    training does not begin with thresholds that silence a layer or cut it off. Batch norms use the
    statistics of the images, as in the first step of training, and keep what they have learned.

    Args:
        network: as built, to be trained.
        source: network with weights.
        images: [B, C, H, W] training images to measure on.

    Raises:
        CheckpointError: the networks differ in more than their activations; names the keys.
        CalibrationError: activations are NaN or infinite; names the layer.
    """
    state = source.state_dict()
    load_shared(network, state, "the network that training starts from")
    fitted = {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, QCFS) and f"{name}.threshold" not in state
    }
    for name, seen in _relu_statistics(network, fitted, images).items():
        levels = int(fitted[name].levels)
        threshold = best_range(seen, levels, candidates=100, per_channel=False, refine=True)
        if threshold > LEAST_CEILING:  # where nothing was active, it stays
            fitted[name].threshold.data.fill_(float(threshold))


@torch.no_grad()
def _relu_statistics(
    network: nn.Module, places: Mapping[str, QCFS], images: Tensor
) -> dict[str, ActivationStatistics]:
    """What ReLUs in place of all staircases answer, at each place."""
    names: dict[nn.Module, str] = {module: name for name, module in places.items()}
    seen = {name: ActivationStatistics(name) for name in places}

    def as_relu(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Tensor:
        activation: Tensor = inputs[0].clamp(min=0)
        if (name := names.get(module)) is not None:
            seen[name].update(activation)
        return activation

    modes = {module: module.training for module in network.modules()}
    buffers = {name: value.clone() for name, value in network.named_buffers()}
    handles = [m.register_forward_hook(as_relu) for m in network.modules() if isinstance(m, QCFS)]
    for module in network.modules():
        module.training = isinstance(module, nn.modules.batchnorm._BatchNorm)
    try:
        if places:
            network(images)
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes.items():
            module.training = mode
        for name, value in network.named_buffers():
            value.copy_(buffers[name])
    return seen
