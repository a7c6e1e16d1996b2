"""What a neuron does with its input current and its membrane potential: one file per idea."""

from conversion.neurons.adaptive import AdaptiveThreshold
from conversion.neurons.base import Alphabet, Neuron, State, fire
from conversion.neurons.bipolar import BipolarIntegrateAndFire
from conversion.neurons.compressed import TimestepCompression
from conversion.neurons.delayed import DelaySpike
from conversion.neurons.differential import DifferentialBothSigns, DifferentialMultiThreshold
from conversion.neurons.few_spikes import FewSpikes
from conversion.neurons.imbalanced import ImbalancedThreshold
from conversion.neurons.integer import Integer
from conversion.neurons.integrate_and_fire import Burst, IntegrateAndFire
from conversion.neurons.multi_threshold import MirroredMultiThreshold, MultiThreshold
from conversion.neurons.parallel import Parallel
from conversion.neurons.probabilistic import TwoPhase
from conversion.neurons.shrinking import Shrinking
from conversion.neurons.sign_descent import SignDescent
from conversion.neurons.signed import Signed
from conversion.neurons.spike_calibrated import SpikeCalibrated
from conversion.neurons.timed_bias import TimedBias
from conversion.neurons.tracking import SignedMultiThreshold, Tracking
from conversion.neurons.two_sided import TwoSided
from conversion.neurons.weighted import TemporalWeight

__all__ = [
    "AdaptiveThreshold",
    "Alphabet",
    "BipolarIntegrateAndFire",
    "Burst",
    "DelaySpike",
    "DifferentialBothSigns",
    "DifferentialMultiThreshold",
    "FewSpikes",
    "ImbalancedThreshold",
    "Integer",
    "IntegrateAndFire",
    "MirroredMultiThreshold",
    "MultiThreshold",
    "Neuron",
    "Parallel",
    "Shrinking",
    "SignDescent",
    "Signed",
    "SignedMultiThreshold",
    "SpikeCalibrated",
    "State",
    "TemporalWeight",
    "TimedBias",
    "TimestepCompression",
    "Tracking",
    "TwoPhase",
    "TwoSided",
    "fire",
]
