"""What spiking networks are compared with."""

from conversion.neurons.quantiser import Quantiser
from conversion.recipes import Recipe, preset

preset(
    Recipe(
        "ptq",
        "No spikes: the ANN with activations of t levels and 8-bit weights, the baseline to beat.",
        "Post-training quantisation; thresholds by least squared error",
        neuron=Quantiser(),
    )
)
