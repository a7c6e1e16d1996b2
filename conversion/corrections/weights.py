"""Weights of one layer refitted by gradient, through the steps of its spiking neurons."""

from __future__ import annotations

import torch
from torch import Tensor

from conversion.errors import RecipeError
from conversion.fitting.spiking_pass import Arrival
from conversion.plan.layer import SpikingLayer

DESCENT = 3  # ANN forwards that a forward and a backward pass cost


def fit_weights(arrival: Arrival, iterations: int, batch: int, learning_rate: float) -> None:
    """Minimise the mean of (q(z̄) - a)² over weights and biases that only this layer uses.

    z̄ is the layer's mean input current over T, a function of the weights and of the spikes that
    already arrive; q the rate that it would cause if it came evenly (see `even_rate`); a the ANN's
    activation. Adam with a cosine down to 0, on batches of images in a fixed random order. Weights
    with which the error over all images is no less than before are put back.

    Args:
        arrival: the layer; its current is computed again afterwards.
        iterations: steps of Adam.
        batch: images in each step.
        learning_rate: of the first step.

    Raises:
        RecipeError: the layer has negative activations (a leaky ReLU), which q does not describe.

    Source: Li et al. 2021 (ICML), arXiv 2106.06984, "weights calibration".
    """
    parameters = arrival.parameters()
    if not parameters:
        return
    activation, layer, steps = arrival.activation.detach(), arrival.layer, arrival.steps
    if bool((activation < 0).any()) and layer.neuron.rectifies:
        raise RecipeError(
            f"layer '{arrival.name}' has negative activations, which correction 'layerwise' cannot fit "
            "weights to; use {correction: {name: layerwise, weights: false}}"
        )
    count = len(activation)
    size = min(batch, count) if arrival.splits else count
    before = [parameter.detach().clone() for parameter in parameters]
    wanted = [parameter.requires_grad for parameter in parameters]
    at_first = objective(arrival)
    order = torch.Generator().manual_seed(0)
    with torch.enable_grad():
        for parameter in parameters:
            parameter.requires_grad_(True)
        adam = torch.optim.Adam(parameters, learning_rate)
        cosine = torch.optim.lr_scheduler.CosineAnnealingLR(adam, iterations)
        for _ in range(iterations):
            images = torch.randperm(count, generator=order)[:size].to(activation.device)
            images = images if size < count else torch.arange(count, device=activation.device)
            rate = even_rate(arrival.mean_current(images), layer, steps)
            adam.zero_grad()
            (rate - activation[images]).square().mean().backward()
            adam.step()
            cosine.step()
    for parameter, gradient in zip(parameters, wanted, strict=True):
        parameter.grad = None
        parameter.requires_grad_(gradient)
    if not objective(arrival) < at_first:
        with torch.no_grad():
            for parameter, value in zip(parameters, before, strict=True):
                parameter.copy_(value)
    arrival.weights_changed()


@torch.no_grad()
def objective(arrival: Arrival) -> float:
    """Mean of (q(z̄) - a)² over all images."""
    rate = even_rate(arrival.mean_current(slice(None)), arrival.layer, arrival.steps)
    return float((rate - arrival.activation).square().mean(dtype=torch.float64))


def even_rate(current: Tensor, layer: SpikingLayer, steps: int) -> Tensor:
    """Rate after T steps of a constant current, (θ / T) clip(floor(T x / θ + v0), 0, γ T).

    From -γ T where neurons send both signs.

    The gradient passes the floor as if it were not there, and stops where rates are clipped.
    """
    if layer.offset is not None:
        current = current + layer.offset
    charge = current * (steps / layer.threshold) + layer.initial
    spikes = charge + (charge.detach().floor() - charge.detach())
    most = layer.neuron.max_per_step * steps
    return spikes.clamp(0 if layer.neuron.rectifies else -most, most) * (layer.threshold / steps)
