"""Chunks of time through the graph in PyTorch's own operations: any device, any neuron."""
