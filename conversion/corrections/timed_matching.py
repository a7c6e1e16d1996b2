"""Rate matching, and then a bias for each time step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from conversion.corrections.matching import RateMatching
from conversion.corrections.temporal import fit_temporal_bias
from conversion.fitting.spiking_pass import Arrival
from conversion.parts import check, register, searched


@register
@dataclass(frozen=True)
class TimedMatching(RateMatching):
    """Fit every channel to the spike trains that really arrive, in their sum and in every step.

    Each layer is first fitted by correction "rate-matching": threshold, caution, bias. That makes the
    mean over T steps right. Then correction "temporal-bias" makes the mean of every single step right, so
    that the layers that follow do not see too much at first and too little later. A layer whose input does
    not change over time, the first, has nothing to gain there: its spikes are evenly spaced already. Layers
    of both signs, and those whose channels are not the second axis (tokens), have rate matching alone.

    Parameters:
        temporal: rounds of the second, after those of the first.
        rate: share of the missing mean that a round adds.
        The others: as for "rate-matching".

    Source: this project, docs/spikemark.md; the bias of single steps is that of Wu et al. 2024 (ECCV),
    arXiv 2403.18388.
    """

    name: ClassVar[str] = "timed-matching"
    temporal: int = searched(3, 1, 6)
    rate: float = searched(0.4, 0.05, 1.0, log=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self.temporal >= 1, f"temporal must be at least 1, got {self.temporal}")
        check(0 < self.rate <= 1, f"rate must be in (0, 1], got {self.rate}")

    def _match(self, arrival: Arrival) -> None:
        """Both, one after the other; the second where a `TimedBias` can be."""
        super()._match(arrival)
        timed = len(arrival.current) > 1 and arrival.axis == 1
        if timed and arrival.layer.neuron.judged_by_membrane:
            fit_temporal_bias(arrival, self.temporal, self.rate, self.samples)
