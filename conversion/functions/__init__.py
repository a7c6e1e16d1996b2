"""Stateless operations beyond affine ones and max pooling, telescoped over time.

Rates are means over time. Whoever sends the increments of t F(mean so far) has sent F(mean so far) on
average after every step t, whatever F is. Lossless max pooling is this with F = max; activations,
products of signals and normalisations follow the same law.

`elementwise` has activations as plain data, `telescope` the increments; `attention` writes
attention out.
"""
