"""Converted networks for other simulators and chips: the Neuromorphic Intermediate Representation."""
