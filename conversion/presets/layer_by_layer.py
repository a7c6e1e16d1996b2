"""Recipes of one spike or none that are fitted layer by layer while the network already spikes."""

from conversion.corrections import Layerwise, TemporalBias
from conversion.initial import Fraction, Shift
from conversion.recipes import Recipe, preset
from conversion.scales import Balance, LeastSquares

preset(
    Recipe(
        "thbal",
        "Threshold at the largest input current of the spiking network itself; safe and very slow.",
        "Sengupta et al. 2019, arXiv 1802.02627 (soft reset in place of hard reset)",
        scale=Balance(),
    )
)
preset(
    Recipe(
        "rmp",
        "Balanced thresholds times 0.8; soft reset keeps what exceeds them.",
        "Han, Srinivasan, Roy 2020 (CVPR), arXiv 2003.01811",
        scale=Balance(factor=0.8),
    )
)
preset(
    Recipe(
        "opt-shift",
        "Percentile thresholds and half a threshold of extra charge, spread over all steps.",
        "Deng & Gu 2021 (ICLR), arXiv 2103.00476 (without retraining the ANN)",
        initial=Shift(),
    )
)
preset(
    Recipe(
        "calib-light",
        "Thresholds by least squares for each channel and T; mean errors corrected layer by layer.",
        "Li et al. 2021 (ICML), arXiv 2106.06984",
        scale=LeastSquares(),
        initial=Shift(),
        correction=Layerwise(),
    )
)
preset(
    Recipe(
        "calib-adv",
        "As calib-light, with weights and initial potentials refitted too; fixes the size of images.",
        "Li et al. 2021 (ICML), arXiv 2106.06984",
        scale=LeastSquares(),
        initial=Shift(),
        correction=Layerwise(potential=True, weights=True, images=64),
    )
)
preset(
    Recipe(
        "dualphase",
        "Initial potentials and weights refitted in turn, on an ANN as it is; fixes the size of images.",
        "Wang et al. 2022, arXiv 2205.07473, phase II (phase I would fine-tune the ANN)",
        scale=LeastSquares(),
        initial=Shift(),
        correction=Layerwise(bias=False, potential=True, weights=True, rounds=2, images=64),
    )
)
preset(
    Recipe(
        "ftbc",
        "Thresholds by least squares, and a bias for each channel and time step from forward passes alone.",
        "Wu et al. 2024 (ECCV), arXiv 2403.18388",
        scale=LeastSquares(),
        initial=Fraction(),
        correction=TemporalBias(),
    )
)
