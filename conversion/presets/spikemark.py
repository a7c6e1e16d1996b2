"""The project's own recipes: least-squares thresholds, matched to the spike trains that arrive."""

from dataclasses import replace

from conversion.corrections import RateMatching, StepWeights, TimedMatching
from conversion.initial import Fraction
from conversion.neurons import IntegrateAndFire, Shrinking, Signed
from conversion.pooling import LateralInhibition
from conversion.recipes import Recipe, preset
from conversion.scales import FullRange, LeastSquares

_SIGNED_BURSTS = preset(
    Recipe(
        "spikemark",
        "Signed bursts up to four, every channel fitted to the spike trains that really arrive.",
        "this project, docs/spikemark.md",
        scale=LeastSquares(),
        neuron=Signed(gamma=4, lower=0.0, back=4),
        initial=Fraction(),
        pooling=LateralInhibition(),
        correction=RateMatching(),
    )
)
preset(
    replace(
        _SIGNED_BURSTS,
        name="spikemark-signed",
        label="spikemark-signed",
        summary="As spikemark, with spikes -1, 0 and 1, and a bias for each time step.",
        neuron=Signed(lower=0.0),
        correction=TimedMatching(),
    )
)
preset(
    replace(
        _SIGNED_BURSTS,
        name="spikemark-binary",
        label="spikemark-binary",
        summary="As spikemark, with one spike or none, and a bias for each time step.",
        neuron=IntegrateAndFire(),
        correction=TimedMatching(),
    )
)
_SHRINKING = preset(
    replace(
        _SIGNED_BURSTS,
        name="spikemark-shrinking",
        label="spikemark-shrinking",
        summary="Signed bursts up to four whose spikes count less from step to step, by powers of two.",
        scale=FullRange(),
        neuron=Shrinking(),
        correction=StepWeights(),
    )
)
preset(
    replace(
        _SHRINKING,
        name="spikemark-shrinking-signed",
        label="spikemark-shrinking-signed",
        summary="As spikemark-shrinking, with one spike of either sign or none in a step.",
        neuron=Shrinking(gamma=1),
    )
)
