"""Figures derived from records: parity, energy, intervals by resampling images."""
