"""The ANN as a graph of operations with roles, ready to be spiked."""
