"""Tuning: one study per network and recipe, with the same budget and the same images for all."""
