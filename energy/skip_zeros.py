"""The strongest opponent: an ANN that skips its own zeros, and reads each weight and each input once.

Dampfhoffer et al. 2023 (IEEE TETCI 7(3):731, doi:10.1109/TETCI.2022.3214509) and Yan, Bai, Tang and Wong
2024 (arXiv 2409.08290) compare spikes with accelerators that use sparsity and reuse as well as a
neuromorphic chip uses events, and find that a spiking network then wins with few spikes only: 0.15 to 1.38
a synapse and image; below 5.7 % of neurons a step at T = 5. The equations here are those of
`energy.memory`, not theirs: their tables are of 22 nm and of chips that are not described layer by layer.

* The ANN and the quantised ANN compute the MACs whose input is not zero, counted on the test images, read
  each weight at most once, each input that is not zero once, and one bit for every input that says whether
  it is zero. Inputs that are not zero are located as spikes are.
* The spiking network is driven by events, its potentials move once a step, and an event pays for the bits
  that it carries.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from energy.memory import MemoryModel


@dataclass(frozen=True)
class SkipZeros(MemoryModel):
    """`MemoryModel` with an opponent that skips zeros and reuses what it has read."""

    source: ClassVar[str] = (
        "opponent after Dampfhoffer et al. 2023, doi:10.1109/TETCI.2022.3214509, and Yan et al. 2024, arXiv "
        f"2409.08290; equations: {MemoryModel.source}"
    )


_OPPONENT = "the ANN skips its own zeros, reads weights and inputs once; potentials move once a step"

MODELS = (
    SkipZeros("skip-zeros", f"{_OPPONENT}; 32 bits", "clocked", "once", 32, skip_zeros=True),
    SkipZeros(
        "skip-zeros-int8",
        f"{_OPPONENT}; 8-bit weights, 32-bit accumulators on both sides",
        "clocked",
        "once",
        8,
        skip_zeros=True,
    ),
)
