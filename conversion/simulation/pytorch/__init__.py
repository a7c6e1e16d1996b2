"""The reference backend: PyTorch's operations, any device, any neuron."""
