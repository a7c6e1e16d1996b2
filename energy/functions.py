"""What it takes to evaluate a function: additions, multiplications, and look-ups in a table.

Hardware evaluates a smooth function of one value by a piecewise line: it looks up slope and offset of the
piece that the value lies in, multiplies and adds. So does NN-LUT (Yu et al. 2022, DAC, arXiv 2112.02191)
with GELU, the exponential in softmax, and the root in layer normalisation. I-BERT (Kim et al. 2021, ICML,
arXiv 2101.01321) takes polynomials of degree 2 instead, one multiplication and one addition more. What
remains of a softmax or a norm is counted from its definition, for each value.

Products of two signals are 0 here: their multiplications are MACs of the ANN, and synaptic operations of
the spiking network. What only compares (ReLU, clamp) is 0, as comparisons are everywhere. What a vector
needs once (1 / sum, 1 / root) is left out.

A spiking network evaluates in every step, and telescopes: it sends t F(X / t), less what it has sent, where
X is the sum of what arrived (Huang et al. 2025, arXiv 2502.21193). That is two multiplications and an
addition a value and step more; for a product A B / t it is one of each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from energy.counts import Function, NotMeasured, known


@dataclass(frozen=True)
class Work:
    """Elementary operations."""

    adds: float = 0.0
    multiplies: float = 0.0
    lookups: float = 0.0  # of a slope and an offset
    each: Literal["value", "input"] = "value"  # that they are needed for: one that is given, or one taken

    def __add__(self, other: Work) -> Work:
        return Work(
            self.adds + other.adds,
            self.multiplies + other.multiplies,
            self.lookups + other.lookups,
            self.each,
        )

    def times(self, n: float) -> Work:
        """The same, `n` times."""
        return Work(n * self.adds, n * self.multiplies, n * self.lookups, self.each)


NOTHING = Work()
LINE = Work(1, 1, 1)  # a piecewise line
TELESCOPED = Work(1, 2)
TELESCOPED_PRODUCT = Work(1, 1)

PRODUCTS = frozenset(
    {"mul", "imul", "multiply", "matmul", "bmm", "einsum"}
    | {f"conv{way}{axes}d" for way in ("", "transpose") for axes in (1, 2, 3)}
)

# By the last part of an operation's name, in lower case and without "_".
WORK: dict[str, Work] = {
    **dict.fromkeys(sorted(PRODUCTS), NOTHING),
    **dict.fromkeys(("identity", "relay", "relu", "relu6", "hardtanh", "clamp", "clampmin", "clip"), NOTHING),
    **dict.fromkeys(("qcfs", "integeractivation", "hardshrink", "threshold", "chosen", "compared"), NOTHING),
    **dict.fromkeys(("runningmaximum", "runningminimum", "sortedvalues", "largestvalues"), NOTHING),
    **dict.fromkeys(("valueat", "middlevalue", "amax"), NOTHING),  # what compares
    **dict.fromkeys(("placeoflargest", "placeofsmallest", "placesinorder", "placesofmost"), NOTHING),
    **dict.fromkeys(
        ("taken", "takenalong", "rowstaken", "lookedup", "asonehot", "put"), NOTHING
    ),  # what fetches
    **dict.fromkeys(("copysign", "heaviside", "clampmax"), NOTHING),
    **dict.fromkeys(("fmod", "remainder", "mod", "floordivide", "floordiv"), Work(1, 2)),
    **dict.fromkeys(("quotient", "rest"), Work(1, 2)),  # of places
    **dict.fromkeys(
        ("fakequantizepertensoraffine", "fakequantizeperchannelaffine"), Work(0, 2)
    ),  # there and back
    **dict.fromkeys(("floatpower", "lgamma", "gammaln", "digamma", "entr", "erfcx", "ndtr", "ndtri"), LINE),
    **dict.fromkeys(("i0", "i0e", "i1", "i1e", "logndtr"), LINE),
    "xlog1py": LINE + Work(0, 1),
    **dict.fromkeys(("ceil", "floor", "round", "trunc", "sign", "nantonum"), NOTHING),
    **dict.fromkeys(("leakyrelu", "prelu", "rrelu", "square"), Work(0, 1)),
    **dict.fromkeys(("abs", "maximum", "minimum", "fmax", "fmin", "softshrink", "frac", "cumsum"), Work(1)),
    "lerp": Work(2, 1),
    "addcmul": Work(1, 2),
    "hardsigmoid": Work(1, 1),
    "hardswish": Work(1, 2),
    **dict.fromkeys(("silu", "gelu", "mish", "elu", "celu", "selu", "softplus", "logsigmoid"), LINE),
    **dict.fromkeys(("sigmoid", "expit", "tanh", "tanhshrink", "softsign", "erf", "sin", "cos"), LINE),
    **dict.fromkeys(("exp", "expm1", "log", "log1p", "log2", "sqrt", "rsqrt", "reciprocal", "pow"), LINE),
    **dict.fromkeys(("exp2", "log10", "logit", "sinc"), LINE),
    **dict.fromkeys(("erf", "erfc", "erfinv", "sin", "cos", "tan", "sinh", "cosh"), LINE),
    **dict.fromkeys(("asin", "acos", "atan", "asinh", "acosh", "atanh"), LINE),
    # Of two signals.
    **dict.fromkeys(("logaddexp", "logaddexp2"), LINE + Work(2)),  # the larger, plus softplus of a difference
    "xlogy": LINE + Work(0, 1),
    "hypot": LINE + Work(1, 2),
    "addcdiv": LINE + Work(1, 2),
    "atan2": LINE + LINE + Work(0, 1),
    # 1 / b as a line, times a.
    **dict.fromkeys(("div", "divide", "truediv", "itruediv", "truedivide"), LINE + Work(0, 1)),
    "glu": LINE + Work(0, 1),  # the sigmoid of one half, times the other
    # Less the maximum, exp, into the sum, times 1 / sum; or the logarithms of these.
    **dict.fromkeys(("softmax", "softmin", "softmax2d", "logsoftmax"), LINE + Work(2, 1)),
    # Into the mean, less the mean, squared, into the variance, times 1 / root, times weight, plus bias.
    **dict.fromkeys(("layernorm", "groupnorm", "instancenorm"), Work(4, 3)),
    **dict.fromkeys(("instancenorm1d", "instancenorm2d", "instancenorm3d"), Work(4, 3)),
    "rmsnorm": Work(1, 3),  # squared, into the mean, times 1 / root, times weight
    "normalize": Work(1, 2),
    "localresponsenorm": LINE + Work(2, 3),  # squared, into the window, scaled, a power, times the value
    # Many values in, few out.
    **dict.fromkeys(("norm", "linalgnorm", "linalgvectornorm"), Work(1, 1, each="input")),
    **dict.fromkeys(("std", "var", "stdmean", "varmean"), Work(3, 1, each="input")),
    "pairwisedistance": Work(1, 0.5, each="input"),  # of two signals
    "aminmax": Work(2, each="input"),
    "logsumexp": Work(3, 1, 1, each="input"),
    "prod": Work(0, 1, each="input"),
    "cumprod": Work(0, 1),
    "logcumsumexp": LINE + LINE + Work(2),
    **dict.fromkeys(("amin", "fold"), Work(1, each="input")),
    "cosinesimilarity": Work(1.5, 1.5, each="input"),  # three sums of products over two signals
}


def plain_name(operation: str) -> str:
    """Name of an operation as `WORK` has it, e.g. "layernorm" of "torch.nn.functional.layer_norm"."""
    return operation.rpartition(".")[2].lower().replace("_", "").removeprefix("special")


def work_of(name: str, function: Function) -> Work:
    """What it takes to evaluate a function once, for all its values.

    Args:
        name: of the operation in its network, for errors.
        function: what is evaluated.

    Raises:
        NotMeasured: nobody said what this function takes, or how many values it is given.
    """
    plain = plain_name(function.operation)
    if plain not in WORK:
        raise NotMeasured(
            f"what {function.operation} of {name!r} takes is unknown; add it to energy/functions.py"
        )
    work = WORK[plain]
    size = function.values if work.each == "value" else known(function.inputs, name, "inputs")
    return work.times(size)


def telescoping_of(function: Function) -> Work:
    """What a spiking network does besides, in every step, for all values of a function."""
    product = plain_name(function.operation) in PRODUCTS
    return (TELESCOPED_PRODUCT if product else TELESCOPED).times(function.values)
