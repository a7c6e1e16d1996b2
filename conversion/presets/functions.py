"""Recipes that convert any stateless function, on an ANN as it is."""

from conversion.initial import Fraction
from conversion.neurons import SignedMultiThreshold, Tracking
from conversion.pooling import LateralInhibition
from conversion.recipes import Recipe, preset
from conversion.scales import FullRange

preset(
    Recipe(
        "tracking",
        "Signed bursts that follow any function of the mean input; other operations are telescoped.",
        "this project; algebraically the function and neuron of Huang et al. 2025, arXiv 2502.21193",
        scale=FullRange(),
        neuron=Tracking(),
        initial=Fraction(),
        pooling=LateralInhibition(),
    )
)
preset(
    Recipe(
        "ecmt",
        "Expectation compensation of every function, and signed powers of two, one event a step.",
        "Huang et al. 2025, arXiv 2502.21193; a maximum of each channel in place of the authors' percentiles",
        scale=FullRange(),
        neuron=SignedMultiThreshold(),
        pooling=LateralInhibition(),
    )
)
