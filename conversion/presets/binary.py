"""Recipes whose neurons send one spike or none, on an ANN as it is."""

from conversion.corrections import ChannelCalibration
from conversion.initial import Fraction
from conversion.neurons import DelaySpike, Parallel, TwoPhase
from conversion.pooling import BeforeNeuron, LateralInhibition
from conversion.readouts import Delayed
from conversion.recipes import Recipe, preset
from conversion.scales import ClipClimb, LeastSquares, Maximum

preset(
    Recipe(
        "maxnorm",
        "Threshold at the largest activation of each layer; safe and slow.",
        "Diehl et al. 2015, doi:10.1109/IJCNN.2015.7280696 (soft reset in place of hard reset)",
        scale=Maximum(),
    )
)
preset(
    Recipe(
        "percentile",
        "Threshold at the 99.9th percentile of activations, so outliers do not slow the layer.",
        "Rueckauer et al. 2017, doi:10.3389/fnins.2017.00682",
    )
)
preset(
    Recipe(
        "opi",
        "Percentile thresholds and membranes that start half full.",
        "Bu et al. 2022 (AAAI), arXiv 2202.01440",
        initial=Fraction(),
    )
)
preset(
    Recipe(
        "ltb",
        "Thresholds of channels climb from zero; pools before neurons; a read-out that waits.",
        "Bu, Li, Yu 2025 (CVPR), arXiv 2409.03368",
        scale=ClipClimb(),
        initial=Fraction(),
        pooling=BeforeNeuron(),
        readout=Delayed(),
    )
)
preset(
    Recipe(
        "delay-spike",
        "opi with neurons that fire only when a whole window of input has arrived.",
        "Zhang C. et al. 2025, arXiv 2508.20392 (half of it: no temporal weights, no training)",
        neuron=DelaySpike(),
        initial=Fraction(),
    )
)
preset(
    Recipe(
        "parallel",
        "All spikes of a window from one sum, so no error of timing; channels shifted by their mean errors.",
        "Hao et al. 2025 (ICML), arXiv 2412.13610 (DA-QCFS: training-free)",
        scale=Maximum(per_channel=True),
        neuron=Parallel(),
        initial=Fraction(),
        pooling=LateralInhibition(),
        correction=ChannelCalibration(),
    )
)
preset(
    Recipe(
        "tpp",
        "Spikes at random once the whole window has arrived: no pattern of timing is left.",
        "Bojkovic, Wu, Gu 2025 (ICML), arXiv 2502.14487 (reconstructed; thresholds by least squared error)",
        scale=LeastSquares(rounding="nearest"),
        neuron=TwoPhase(),
        pooling=LateralInhibition(),
    )
)
