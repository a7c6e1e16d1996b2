"""Neurons whose threshold follows their membrane."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from conversion.neurons.base import Alphabet, Neuron, State
from conversion.parts import check, register, searched


@register
@dataclass(frozen=True)
class AdaptiveThreshold(Neuron):
    """Multi-stage adaptive threshold: lower for neurons whose membrane is far below its own mean.

    With x the current, u the membrane potential before the step less its mean over all steps so far,
    in thresholds, the threshold of a step is

        θ = sigmoid(membrane_gain (alpha u - 1 + k_a ln(1 + exp(u / k_i))) + current_gain exp(-x / c))

    and the neuron sends θ clamp(floor(v / θ), 0, gamma), which leaves its membrane: charge is
    conserved, but what is sent is a real number, which costs a multiplication at every synapse.

    Parameters:
        gamma: most spikes in one step.
        alpha, k_a, k_i, c, membrane_gain, current_gain: constants of the threshold, chosen by hand for
            each network: (0.3, 1, 1, 5, 0.5, 0.5) for ResNet-20, or gains of 0.2 and 0.1;
            (0.03, 1, 1, 5, 1, 1) for VGG-16.

    Source: He et al. 2023, arXiv 2303.13080, and the authors' code. Their optional "spike confidence"
    drops early spikes at random with a probability for each layer; it is left out, because how that
    probability is found is not told and an answer should not depend on chance. The mean of the
    membrane is taken over the initial potential and all steps before the present one.
    """

    name: ClassVar[str] = "adaptive-threshold"
    integral: ClassVar[bool] = False
    gamma: int = searched(5, 1, 20)  # most spikes in one step
    alpha: float = searched(0.3, 0.01, 1.0, log=True)
    k_a: float = 1.0
    k_i: float = 1.0
    c: float = 5.0
    membrane_gain: float = searched(0.5, 0.1, 2.0, log=True)
    current_gain: float = searched(0.5, 0.1, 2.0, log=True)

    def __post_init__(self) -> None:
        check(self.gamma >= 1, f"gamma must be at least 1, got {self.gamma}")
        check(self.k_i > 0, f"k_i must be positive, got {self.k_i}")
        check(self.c > 0, f"c must be positive, got {self.c}")

    @property
    def alphabet(self) -> Alphabet:
        """Any real number."""
        return "real"

    @property
    def max_per_step(self) -> int:
        """Gamma, at a threshold of 1."""
        return self.gamma

    def start(self, membrane: Tensor) -> State:
        """Membrane v, its mean over all steps so far, their number."""
        step = torch.ones((), dtype=membrane.dtype, device=membrane.device)
        return {"v": membrane, "mean": membrane, "step": step}

    def step(self, current: Tensor, state: State) -> tuple[Tensor, State]:
        """v += x; s = θ clamp(floor(v / θ), 0, gamma); v -= s."""
        before, mean, step = state["v"], state["mean"], state["step"] + 1
        threshold = self.threshold(current, before - mean)
        v = before + current
        spikes = threshold * (v / threshold).floor().clamp_(0, self.gamma)
        v = v - spikes
        return spikes, {"v": v, "mean": mean + (v - mean) / step, "step": step}

    def threshold(self, current: Tensor, above: Tensor) -> Tensor:
        """θ for a current and for how far the membrane is above its mean; in (0, 1]."""
        membrane = self.alpha * above - 1 + self.k_a * F.softplus(above / self.k_i)
        arrival = (-current / self.c).clamp(max=20).exp()
        return torch.sigmoid(self.membrane_gain * membrane + self.current_gain * arrival).clamp(min=1e-3)

    def events(self, spikes: Tensor) -> Tensor:
        """One event, whatever number it carries."""
        return (spikes != 0).to(spikes.dtype)
