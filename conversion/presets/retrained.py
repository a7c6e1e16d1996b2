"""Recipes for an ANN that was trained to be converted, with an activation of `conversion.graph.activations`.

On any other ANN they run with another scale, e.g. {preset: srp, scale: percentile}; what they then
compare with are the recipes that leave the ANN as it is.
"""

from conversion.initial import Fraction, Offset, Residual
from conversion.neurons import Burst, Integer, Parallel, Signed
from conversion.recipes import Recipe, preset
from conversion.scales import Learned

preset(
    Recipe(
        "qcfs",
        "Thresholds learned with an activation that already takes a neuron's few values.",
        "Bu et al. 2022 (ICLR), arXiv 2303.04347",
        scale=Learned(),
        initial=Fraction(),
    )
)
preset(
    Recipe(
        "srp",
        "qcfs, after four steps that silence neurons which should not have fired.",
        "Hao et al. 2023 (AAAI), arXiv 2302.02091",
        scale=Learned(),
        initial=Residual(),
    )
)
preset(
    Recipe(
        "cos",
        "qcfs, after four steps that move each membrane by one spike too many or too few.",
        "Hao et al. 2023 (ICLR), arXiv 2302.10685",
        scale=Learned(),
        initial=Offset(),
    )
)
preset(
    Recipe(
        "fastsnn",
        "qcfs with neurons that take a spike back as soon as the membrane is below zero.",
        "Hu et al. 2023 (TPAMI), arXiv 2305.19868 (without its quantised weights and layer-wise tuning)",
        scale=Learned(),
        neuron=Signed(lower=-1e-3),
        initial=Fraction(),
    )
)
preset(
    Recipe(
        "error-compensation",
        "Learned thresholds, half start, and a second, negative threshold that takes spikes back.",
        "Liu C. et al. 2025 (ICML), arXiv 2506.01968 (reconstructed; its negative threshold is not known)",
        scale=Learned(),
        neuron=Signed(lower=-0.5),
        initial=Fraction(),
    )
)
preset(
    Recipe(
        "ilif",
        "Whole numbers learned in training, each sent as a run of up to four binary spikes.",
        "Luo et al. 2024 (ECCV), arXiv 2407.20708 (on networks that do not leak from step to step)",
        scale=Learned(),
        neuron=Integer(),
    )
)
preset(
    Recipe(
        "parallel-qcfs",
        "qcfs with all spikes of a window from one sum: exactly the ANN that was trained, at T = its levels.",
        "Hao et al. 2025 (ICML), arXiv 2412.13610",
        scale=Learned(),
        neuron=Parallel(),
        initial=Fraction(),
    )
)
preset(
    Recipe(
        "group",
        "qcfs with groups of four neurons in place of one: bursts of up to four spikes of a quarter each.",
        "Lv et al. 2024 (ICASSP), arXiv 2402.19061",
        scale=Learned(),
        neuron=Burst(4),
        initial=Fraction(),
    )
)
