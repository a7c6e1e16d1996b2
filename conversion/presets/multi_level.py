"""Recipes whose neurons send bursts, signed or graded spikes, on an ANN as it is."""

from conversion.allocation import AdaptiveFire
from conversion.corrections import Layerwise
from conversion.exits.rules import EntropyExit
from conversion.initial import Fraction, Shift
from conversion.neurons import (
    AdaptiveThreshold,
    Burst,
    DifferentialMultiThreshold,
    ImbalancedThreshold,
    MultiThreshold,
    Signed,
    SpikeCalibrated,
    TemporalWeight,
    TimestepCompression,
)
from conversion.pooling import LateralInhibition
from conversion.recipes import Recipe, preset
from conversion.scales import LeastSquares, Maximum, Percentile, ThresholdIteration

preset(
    Recipe(
        "burst",
        "Up to five spikes a step, and lossless lateral-inhibition pooling.",
        "Li & Zeng 2022 (IJCAI), arXiv 2204.13271",
        neuron=Burst(),
        pooling=LateralInhibition(),
    )
)
preset(
    Recipe(
        "spicalib",
        "Burst neurons that take wrong spikes back, and lossless pooling for any max pooling.",
        "Li, He, Dong, Kong, Zeng 2022, arXiv 2207.02702",
        neuron=SpikeCalibrated(),
        pooling=LateralInhibition(),
    )
)
preset(
    Recipe(
        "spicalib-bo",
        "spicalib as its authors tuned it for VGG-16 on ImageNet: low thresholds, bursts of up to twenty.",
        "Li, He, Dong, Kong, Zeng 2022, arXiv 2207.02702; p, gamma and allowance from the group's logs",
        scale=Percentile(0.977),
        neuron=SpikeCalibrated(gamma=20, allowance=64),
        pooling=LateralInhibition(),
    )
)
preset(
    Recipe(
        "snm",
        "Signed neurons with memory: a spike sent too early is taken back at a membrane of minus one.",
        "Wang Y. et al. 2022 (IJCAI, 2501-2508); maximum of each channel in place of each neuron, "
        "which would fix the image size",
        scale=Maximum(per_channel=True),
        neuron=Signed(),
    )
)
# The paper reads out the accumulated membrane of its last layer. A last layer without activation has
# no neuron here: what is read out is its accumulated current, which is the same.
preset(
    Recipe(
        "spiking-yolo",
        "Signed neurons with imbalanced thresholds: for networks with leaky ReLU.",
        "Kim et al. 2020 (AAAI), arXiv 1903.06530",
        scale=Maximum(per_channel=True),
        neuron=ImbalancedThreshold(),
    )
)
preset(
    Recipe(
        "msat",
        "Thresholds that follow the membrane; spikes are real numbers, so synapses multiply.",
        "He et al. 2023, arXiv 2303.13080 (without random spike confidence)",
        scale=Percentile(),
        neuron=AdaptiveThreshold(),
        pooling=LateralInhibition(),
    )
)
preset(
    Recipe(
        "msat-vgg",
        "msat with the constants that its authors chose for VGG-16.",
        "He et al. 2023, arXiv 2303.13080 (without random spike confidence)",
        scale=Percentile(),
        neuron=AdaptiveThreshold(alpha=0.03, membrane_gain=1.0, current_gain=1.0),
        pooling=LateralInhibition(),
    )
)
preset(
    Recipe(
        "dcgs",
        "Spikes are changes of what was said before, in four powers of two.",
        "Huang et al. 2025 (ICML), arXiv 2503.00301",
        scale=ThresholdIteration(),
        neuron=DifferentialMultiThreshold(),
        pooling=LateralInhibition(),
    )
)
preset(
    Recipe(
        "hmt",
        "All of eight powers of two that fit fire in one step.",
        "Harmony multi-threshold neuron, 2025/26, follow-up of Huang et al. 2025, arXiv 2503.00301",
        scale=ThresholdIteration(),
        neuron=MultiThreshold(8),
        initial=Fraction(),
        pooling=LateralInhibition(),
    )
)
preset(
    Recipe(
        "tdif",
        "Activations spelled out in binary, a digit a step, after a whole window of input.",
        "Zhang C. et al. 2025, arXiv 2508.20392 (thresholds by least squared error in place of training)",
        scale=LeastSquares(),
        neuron=TemporalWeight(),
        initial=Fraction(),
        pooling=LateralInhibition(),
    )
)
preset(
    Recipe(
        "suhd",
        "Counts of up to four spikes a step, in units that shrink to half over the window.",
        "Qu et al. 2023, arXiv 2306.12010 (reconstructed; no retraining)",
        scale=LeastSquares(),
        neuron=TimestepCompression(),
        initial=Fraction(),
        pooling=LateralInhibition(),
    )
)
_ADAFIRE = {
    "scale": LeastSquares(rounding="floor"),
    "neuron": Burst(8),
    "initial": Shift(),
    "pooling": LateralInhibition(),
    "allocation": AdaptiveFire(),
    "correction": Layerwise(),
}
preset(
    Recipe(
        "adafire",
        "Bursts as long as each layer needs them, thresholds and biases for a given number of steps.",
        "Wang Z. et al. 2025 (AAAI), arXiv 2412.16219",
        **_ADAFIRE,  # type: ignore[arg-type]
    )
)
preset(
    Recipe(
        "adafire-iat",
        "adafire, and each image ends as soon as the network is sure of it.",
        "Wang Z. et al. 2025 (AAAI), arXiv 2412.16219 (right answers are the ANN's, not labels)",
        **_ADAFIRE,  # type: ignore[arg-type]
        exit=EntropyExit(),
    )
)
