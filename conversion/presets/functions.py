"""Recipes that convert any stateless function, on an ANN as it is."""

from conversion.allocation import FittedSpikes
from conversion.initial import Fraction
from conversion.neurons import BipolarIntegrateAndFire, FewSpikes, SignDescent, SignedMultiThreshold, Tracking
from conversion.pooling import LateralInhibition
from conversion.recipes import Recipe, preset
from conversion.scales import FullRange, Maximum, NearestLevels

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
preset(
    Recipe(
        "st-bif",
        "Ternary spikes that count by their sum, until each neuron has said its quantised value.",
        "You et al. 2024 (ICML), arXiv 2406.03470 (thresholds by least squared error in place of training)",
        scale=NearestLevels(),
        neuron=BipolarIntegrateAndFire(),
        initial=Fraction(),
        pooling=LateralInhibition(),
    )
)
preset(
    Recipe(
        "sign-gd",
        "A sign in every step, by which outputs go towards the function of their input in shrinking steps.",
        "Oh and Lee 2024 (ICML), arXiv 2407.01645 (steps in thresholds of each channel)",
        scale=Maximum(per_channel=True),
        neuron=SignDescent(),
        pooling=LateralInhibition(),
    )
)
preset(
    Recipe(
        "fs",
        "A value in T weighted spikes, one layer after the other; functions other than a ReLU are fitted.",
        "Stöckl and Maass 2021 (Nature Machine Intelligence), arXiv 2002.00860",
        scale=Maximum(),
        neuron=FewSpikes(),
        pooling=LateralInhibition(),
        allocation=FittedSpikes(),
    )
)
