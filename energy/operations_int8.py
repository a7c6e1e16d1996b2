"""Operations alone with 8-bit weights and 32-bit accumulators, for spiking and quantised network alike.

An accumulate adds an 8-bit weight to a 32-bit accumulator: 0.1 pJ. A multiply-accumulate of 8-bit weight
and 8-bit activation adds its product to one: 0.2 + 0.1 pJ. Activations of fewer bits multiply in
proportion (`energy.horowitz.multiply_by_8_pj`), and the quantised ANN is charged for the bits that its
levels need. Its accuracy is that of `ptq`; that of the spiking network is measured by
`precision: int8`, and the pair is what this model compares. Counts of a float32 run are charged as if
rounding the weights had not moved a spike; boards mark such figures.

Ratios compare with the trained ANN, which stays in 32-bit floating point: 4.6 pJ a
multiply-accumulate.

What is counted is what `energy.operations` counts. A real number that an event carries is taken to have 8
bits, and so is a current that a layer multiplies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from energy.horowitz import ADD_INT32_PJ, MULTIPLY_INT8_PJ, multiply_by_8_pj
from energy.operations import Operations


@dataclass(frozen=True)
class OperationsInt8(Operations):
    """Picojoules of an operation on 8-bit weights."""

    source: ClassVar[str] = "Horowitz 2014, doi:10.1109/ISSCC.2014.6757323: 45 nm, integers of 8 and 32 bits"

    name: str = "operations-int8"
    summary: str = "operations alone, 8-bit weights and 32-bit accumulators on both sides: AC 0.1, MAC 0.3 pJ"
    mac_pj: float = MULTIPLY_INT8_PJ + ADD_INT32_PJ
    ac_pj: float = ADD_INT32_PJ
    accumulate_pj: float = ADD_INT32_PJ

    @property
    def spiking_weight_bits(self) -> int:
        """8."""
        return 8

    def quantised_mac_of(self, bits: int) -> float:
        """An 8-bit weight times an activation of `bits`, added to 32 bits."""
        return multiply_by_8_pj(bits) + self.accumulate_pj


MODELS = (OperationsInt8(),)
