"""Random networks of everything that converts, as a hypothesis strategy: failures shrink to a small network.

A network is a list of steps. Each step is a module that reads one or two values made before it; values that
nobody reads are outputs. Steps are tried while the network is drawn: one that does not fit is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from torch import Tensor, nn

Kind = Literal["affine", "weighted", "neuron", "pool"]
MOST_VALUES = 400  # of one image after a step
MOST_WIDE = 1600  # the same, in a network that nobody counts unit by unit
TRIALS = 4  # to find a step that fits
MOST_BITS = 12  # after the point, of values of a network with exact arithmetic


class Apply(nn.Module):
    """A function of signals, and of constants that the network owns."""

    def __init__(self, function: Callable[..., Tensor], *constants: Tensor) -> None:
        super().__init__()
        self.function = function
        self.constants = nn.ParameterList(nn.Parameter(c, requires_grad=False) for c in constants)

    def forward(self, *values: Tensor) -> Tensor:
        return self.function(*values, *self.constants)


@dataclass
class Step:
    """One operation.

    Attributes:
        kind: what it is.
        inputs: numbers of the values that it reads; 0 is the image.
        says: for messages.
    """

    kind: Kind
    inputs: tuple[int, ...]
    says: str


class Network(nn.Module):
    """Steps one after the other; step i is `ops.i` and makes value i + 1."""

    def __init__(self, size: tuple[int, ...]) -> None:
        super().__init__()
        self.size = size  # of an image [C, ...]
        self.steps: list[Step] = []
        self.ops = nn.ModuleList()
        self.record = False  # the spikes of neurons and pools are outputs as well

    @property
    def outputs(self) -> list[int]:
        """Numbers of the values that the network gives."""
        read = {number for step in self.steps for number in step.inputs}
        return [i for i in range(1, len(self.steps) + 1) if i not in read or (self.record and self.sends(i))]

    def sends(self, number: int) -> bool:
        """True for the values of neurons and of pools."""
        return self.steps[number - 1].kind in ("neuron", "pool")

    def values(self, x: Tensor) -> list[Tensor]:
        """The image and the result of every step."""
        found = [x]
        for step, op in zip(self.steps, self.ops, strict=True):
            found.append(op(*(found[number] for number in step.inputs)))
        return found

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        found = self.values(x)
        return tuple(found[number] for number in self.outputs)

    def __repr__(self) -> str:
        lines = [f"{i + 1} = {s.kind} {s.says}{list(s.inputs)}" for i, s in enumerate(self.steps)]
        return "\n".join([f"image {self.size}", *lines])


class _Builder:
    """Draws the steps of one network.

    Args:
        draw: hypothesis's function.
        size: of an image.
        exact: only operations without rounding.
        widths: output channels to choose from.
    """

    def __init__(self, draw: Any, size: tuple[int, ...], exact: bool, widths: list[int]) -> None:
        self.draw, self.exact, self.widths = draw, exact, widths
        self.network = Network(size)
        self.generator = torch.Generator().manual_seed(draw(st.integers(0, 999)))
        # Of two images, so that operations which mix them can be seen.
        self.found = [self.whole((2, *size))]
        self.bits = [3]  # after the point, of each value

    def whole(self, shape: tuple[int, ...]) -> Tensor:
        return torch.randint(0, 1000, shape, generator=self.generator).double()

    def number(self, least: int, most: int) -> int:
        return self.draw(st.integers(least, most))

    def choice(self, options: Any) -> Any:
        return self.draw(st.sampled_from(list(options)))

    def yes(self) -> bool:
        return self.draw(st.booleans())

    def fractions(self, *shape: int, zeros: bool = False) -> Tensor:
        """Short binary fractions, none of them 0 or about a third of them."""
        values = torch.randint(1, 7, shape, generator=self.generator) / 8
        signs = torch.rand(shape, generator=self.generator) < 0.3
        values = torch.where(signs, -values, values)
        if zeros:
            values = values * (torch.rand(shape, generator=self.generator) < 0.7)
        return values.double()

    def weights(self, module: Any) -> Any:
        """A layer with drawn weights, perhaps with some pruned."""
        module.weight.data = self.fractions(*module.weight.shape, zeros=self.yes())
        if module.bias is not None:
            module.bias.data = self.fractions(*module.bias.shape)
        return module

    def add(self, kind: Kind, inputs: tuple[int, ...], op: nn.Module, says: str = "") -> bool:
        """Add a step, if its operation takes what it would read and its result is neither empty nor large."""
        op = op.double().eval().requires_grad_(False)
        values = [self.found[number] for number in inputs]
        try:
            result = op(*values)
            alone = op(*(value[: len(value) // 2] for value in values))
        except (RuntimeError, ValueError, IndexError, TypeError):
            return False
        rows = len(result)
        fits = (
            result.ndim > 1
            and rows % 2 == 0
            and 0 < result.numel() // 2 <= (MOST_WIDE if self.exact else MOST_VALUES)
        )
        if not fits or not torch.allclose(result[: rows // 2], alone):
            return False
        bits = 1  # of thresholds
        if kind != "neuron":
            bits = max(self.bits[number] for number in inputs) + (
                self.bits_of(op, values) if self.exact else 0
            )
        if bits > MOST_BITS:
            return False
        self.network.ops.append(op)
        self.network.steps.append(Step(kind, inputs, says or str(op)))
        self.found.append(self.whole(tuple(result.shape)))
        self.bits.append(bits)
        return True

    def bits_of(self, op: nn.Module, like: list[Tensor]) -> int:
        """How many more bits after the point an operation needs."""
        results = [op(*(self.whole(tuple(value.shape)) for value in like)) for _ in range(4)]
        for bits in range(MOST_BITS + 1):
            if all(torch.equal(r * 2**bits, (r * 2**bits).round()) for r in results):
                return bits
        return MOST_BITS + 1

    def step(self) -> None:
        """Try to add one step after a value that was made before; most often the last."""
        before = len(self.found)
        for _ in range(TRIALS):
            number = before - 1 - min(self.choice([0, 0, 1, 2]), before - 1)
            self.choice(_STEPS)(self, number)
            if len(self.found) > before:
                break
        steps = self.network.steps
        if len(self.found) > before and steps[-1].kind == "weighted" and self.choice([True, True, False]):
            relu(self, len(self.found) - 1)

    # The axes of space of a value [N, C, ...] of one, two or three of them.

    def space(self, number: int) -> int:
        return self.found[number].ndim - 2

    def sizes(self, number: int, least: int, most: int) -> tuple[int, ...]:
        return tuple(self.number(least, most) for _ in range(self.space(number)))


def relu(b: _Builder, n: int) -> None:
    b.add("neuron", (n,), nn.ReLU6() if b.number(0, 7) == 7 else nn.ReLU())


def convolution(b: _Builder, n: int) -> None:
    d, channels = b.space(n), b.found[n].shape[1]
    if not 1 <= d <= 3:
        return
    outputs, groups = b.choice(b.widths), 1
    if b.number(0, 2) == 2:
        groups = b.choice([g for g in (1, 2, 3, 4, 16) if channels % g == 0])
        outputs = groups * b.number(1, 2)
    kernel, mode = b.sizes(n, 1, 3), b.choice(["zeros", "zeros", "reflect", "replicate", "circular"])
    settings = {"stride": b.number(1, 2), "padding": b.number(0, 2), "dilation": b.number(1, 2)}
    layer = getattr(nn, f"Conv{d}d")(
        channels, outputs, kernel, groups=groups, padding_mode=mode, bias=b.yes(), **settings
    )
    b.add("weighted", (n,), b.weights(layer))


def transposed(b: _Builder, n: int) -> None:
    d, channels = b.space(n), b.found[n].shape[1]
    if not 1 <= d <= 3:
        return
    groups = b.choice([g for g in (1, 2, 3) if channels % g == 0])
    stride = b.number(1, 2)
    layer = getattr(nn, f"ConvTranspose{d}d")(
        channels,
        groups * b.number(1, 2),
        b.sizes(n, 1, 3),
        stride=stride,
        padding=b.number(0, 1),
        output_padding=b.number(0, stride - 1),
        groups=groups,
        dilation=b.number(1, 2),
    )
    b.add("weighted", (n,), b.weights(layer))


def functional_convolution(b: _Builder, n: int) -> None:
    """As blur pooling has it: one constant kernel for every channel."""
    d, channels = b.space(n), b.found[n].shape[1]
    if not 1 <= d <= 3:
        return
    kernel = b.fractions(channels, 1, *b.sizes(n, 1, 2), zeros=b.yes())
    function = getattr(F, f"conv{d}d")
    stride = b.number(1, 2)
    op = Apply(lambda x, w: function(x, w, stride=stride, groups=channels), kernel)
    b.add("weighted", (n,), op, f"conv{d}d of {list(kernel.shape)}, stride {stride}, groups {channels}")


def linear(b: _Builder, n: int) -> None:
    if b.number(0, 4) == 4:
        weight = b.fractions(b.number(1, 3), b.found[n].shape[-1], zeros=b.yes())
        b.add("weighted", (n,), Apply(F.linear, weight), f"linear with {list(weight.shape)}")
        return
    b.add("weighted", (n,), b.weights(nn.Linear(b.found[n].shape[-1], b.choice(b.widths), bias=b.yes())))


def matrix(b: _Builder, n: int) -> None:
    x = b.found[n]
    before = (x.shape[1],) if x.ndim == 4 and b.yes() else ()  # a matrix for each channel
    weight = b.fractions(*before, x.shape[-1], b.number(1, 3), zeros=b.yes())
    b.add("weighted", (n,), Apply(torch.matmul, weight), f"matmul with {list(weight.shape)}")


def max_pool(b: _Builder, n: int) -> None:
    d = b.space(n)
    if not 1 <= d <= 3:
        return
    if b.yes():
        b.add("pool", (n,), getattr(nn, f"AdaptiveMaxPool{d}d")(b.sizes(n, 1, 2)))
        return
    settings = {"stride": b.number(1, 2), "padding": b.number(0, 1), "ceil_mode": b.yes()}
    b.add("pool", (n,), getattr(nn, f"MaxPool{d}d")(b.number(2, 3), **settings))


def average_pool(b: _Builder, n: int) -> None:
    d = b.space(n)
    if not 1 <= d <= 3:
        return
    if b.yes():
        b.add("affine", (n,), getattr(nn, f"AdaptiveAvgPool{d}d")(b.sizes(n, 1, 3)))
        return
    settings = {"stride": b.number(1, 2), "padding": b.number(0, 1), "ceil_mode": b.yes()}
    op = getattr(nn, f"AvgPool{d}d")(b.number(1, 3), count_include_pad=b.yes(), **settings)
    b.add("affine", (n,), op)


def mean(b: _Builder, n: int) -> None:
    x, keep, name = b.found[n], b.yes(), b.choice(["mean", "sum"])
    axes = tuple(sorted({b.number(1, x.ndim - 1) for _ in range(b.number(1, x.ndim))}))
    b.add("affine", (n,), Apply(lambda x: getattr(x, name)(axes, keepdim=keep)), f"{name} {axes} {keep}")


def interpolation(b: _Builder, n: int) -> None:
    d = b.space(n)
    if not 1 <= d <= 3:
        return
    smooth = ("linear", "bilinear", "trilinear")[d - 1]
    mode = b.choice(["nearest", smooth, *(["bicubic"] if d == 2 else [])])
    options: dict[str, Any] = {"mode": mode}
    options |= {"size": b.sizes(n, 1, 4)} if b.yes() else {"scale_factor": 2}
    if mode != "nearest":
        options["align_corners"] = b.yes()
    b.add("affine", (n,), Apply(lambda x: F.interpolate(x, **options)), f"interpolate {options}")


def pad(b: _Builder, n: int) -> None:
    d = b.space(n)
    if not 1 <= d <= 3:
        return
    mode = b.choice(["constant", "reflect", "replicate", "circular"])
    sides = [b.number(-1 if mode == "constant" else 0, 2) for _ in range(2 * d)]
    value = b.choice([None, 0.0, 1.0]) if mode == "constant" else None
    b.add("affine", (n,), Apply(lambda x: F.pad(x, sides, mode, value)), f"pad {mode} {sides} {value}")


def add(b: _Builder, n: int) -> None:
    others = [i for i in range(1, len(b.found)) if b.found[i].ndim == b.found[n].ndim]
    if not others:
        return
    m = b.choice(reversed(others))
    if len(b.found[m]) == len(b.found[n]):
        minus = b.yes()
        op = Apply(lambda x, y: x - y if minus else x + y)
        b.add("affine", (n, m), op, "difference" if minus else "sum")


def concatenate(b: _Builder, n: int) -> None:
    others = [i for i in range(1, len(b.found)) if b.found[i].ndim == b.found[n].ndim]
    if not others:
        return
    m, axis = b.choice(reversed(others)), b.number(1, b.found[n].ndim - 1)
    if b.number(0, 3) == 3:
        op = Apply(lambda x, y: torch.stack([x, y], axis).flatten(axis, axis + 1))
        b.add("affine", (n, m), op, f"stack along {axis}")
        return
    b.add("affine", (n, m), Apply(lambda x, y: torch.cat([x, y], axis)), f"cat along {axis}")


def multiply(b: _Builder, n: int) -> None:
    """By one number, by one a channel, by one a position; where a value has one position, by a map."""
    shape = b.found[n].shape
    like = b.choice(["number", "channel", "position", "map"])
    if like == "number":
        number = b.choice([0.5, 0.0, -1.0])
        b.add("affine", (n,), Apply(lambda x: x * number), f"times {number}")
        return
    sizes = {
        "channel": (1, shape[1], *[1] * (len(shape) - 2)),
        "position": (1, 1, *shape[2:]),
        "map": (1, 1, *(b.number(1, 2) if side == 1 else side for side in shape[2:])),
    }
    constant = b.fractions(*sizes[like], zeros=b.yes())
    if b.yes():
        mask = constant != 0
        b.add("affine", (n,), Apply(lambda x: x * mask), f"mask {mask.tolist()}")
        return
    b.add("affine", (n,), Apply(torch.mul, constant), f"times {constant.tolist()}")


def add_constant(b: _Builder, n: int) -> None:
    shape = b.found[n].shape
    sizes = (1, shape[1], *(b.number(1, 2) if side == 1 else side for side in shape[2:]))
    b.add("affine", (n,), Apply(torch.add, b.fractions(*sizes)), f"plus {list(sizes)}")


def batch_norm(b: _Builder, n: int) -> None:
    d, channels = b.space(n), b.found[n].shape[1]
    if not 0 <= d <= 3:
        return
    norm = getattr(nn, f"BatchNorm{max(d, 1)}d")(channels)
    # Folded into weights, factors of 0 would make them 0.
    folds = n > 0 and b.network.steps[n - 1].kind == "weighted"
    norm.weight.data = b.fractions(channels, zeros=not folds)
    norm.bias.data = b.fractions(channels)
    norm.running_var = torch.rand(channels, generator=b.generator) + 0.5
    if not b.exact:
        b.add("affine", (n,), norm)


def slices(b: _Builder, n: int) -> None:
    axis, start, stride = b.number(1, b.found[n].ndim - 1), b.number(0, 1), b.number(1, 2)
    where = (slice(None),) * axis + (slice(start, None, stride),)
    b.add("affine", (n,), Apply(lambda x: x[where]), f"[{start}::{stride}] along {axis}")


def piece(b: _Builder, n: int) -> None:
    axis, index = b.number(1, b.found[n].ndim - 1), b.number(0, 1)
    if b.yes():
        b.add("affine", (n,), Apply(lambda x: x.chunk(2, axis)[index]), f"chunk {index} along {axis}")
    else:
        b.add("affine", (n,), Apply(lambda x: torch.split(x, 1, axis)[index]), f"split {index} along {axis}")


def rearrange(b: _Builder, n: int) -> None:
    rank = b.found[n].ndim
    name = b.choice(["flatten", "permute", "flip", "roll", "repeat", "index", "expand", "narrow"])
    if name == "flatten":
        b.add("affine", (n,), nn.Flatten())
    elif name == "permute":
        order = (0, *b.draw(st.permutations(range(1, rank))))
        b.add("affine", (n,), Apply(lambda x: x.permute(*order)), f"permute {order}")
    elif name == "index":
        axis, index = b.number(1, rank - 1), torch.tensor([0, 1, 0])
        b.add("affine", (n,), Apply(lambda x: x.index_select(axis, index)), f"0, 1, 0 along {axis}")
    else:
        axis = b.number(1, rank - 1)
        function = {
            "flip": lambda x: x.flip(axis),
            "narrow": lambda x: x.narrow(axis, 0, 1),
            "expand": lambda x: x.narrow(axis, 0, 1).expand(*(2 if a == axis else -1 for a in range(rank))),
            "roll": lambda x: torch.roll(x, 1, axis),
            "repeat": lambda x: x.repeat(*(2 if a == axis else 1 for a in range(rank))),
        }[name]
        b.add("affine", (n,), Apply(function), f"{name} along {axis}")


def shuffle(b: _Builder, n: int) -> None:
    name = b.choice(["PixelShuffle", "PixelUnshuffle", "ChannelShuffle", "by views"])
    if name != "by views":
        b.add("affine", (n,), getattr(nn, name)(2))
        return
    channels, *sides = b.found[n].shape[1:]
    if channels % 2 == 0:
        op = Apply(
            lambda x: x.view(-1, 2, channels // 2, *sides).transpose(1, 2).reshape(-1, channels, *sides)
        )
        b.add("affine", (n,), op, "channel shuffle by views")


def frames(b: _Builder, n: int) -> None:
    """The first axis of space as frames in the batch axis, or back."""
    shape = b.found[n].shape
    if len(b.found[n]) == 2 and len(shape) > 2:
        op = Apply(lambda x: x.transpose(1, 2).reshape(-1, shape[1], *shape[3:]))
        b.add("affine", (n,), op, f"{shape[2]} frames into the batch axis")
    elif len(b.found[n]) > 2:
        op = Apply(lambda x: x.reshape(-1, shape[0] // 2, *shape[1:]).transpose(1, 2))
        b.add("affine", (n,), op, f"{shape[0] // 2} frames out of the batch axis")


def clip(b: _Builder, n: int) -> None:
    """A layer that sees frames one by one, in the batch axis."""
    if len(b.found[n]) > 2 or b.space(n) < 1:
        return
    for step in (frames, b.choice([linear, convolution]), relu, frames, b.choice([convolution, mean])):
        step(b, len(b.found) - 1)


def unfold(b: _Builder, n: int) -> None:
    kernel, padding = b.number(1, 2), b.number(0, 1)
    op = nn.Unfold(kernel, padding=padding, stride=b.number(1, 2))
    b.add("affine", (n,), op)


_STEPS = [
    *(
        relu,
        convolution,
        linear,
        add,
        concatenate,
        max_pool,
        average_pool,
        mean,
        multiply,
        pad,
        interpolation,
    ),
    *(slices, rearrange, frames, clip, transposed, functional_convolution, matrix, batch_norm, add_constant),
    *(piece, shuffle, unfold, convolution, average_pool, interpolation, pad, clip, relu),
]


@st.composite
def networks(
    draw: Any,
    exact: bool = False,
    widths: tuple[int, ...] = (2, 1, 3, 4),
    spaces: tuple[int, ...] = (1, 2, 2, 3),
    steps: int = 8,
) -> Network:
    """Networks in double precision and eval mode.

    Args:
        draw: hypothesis's function.
        exact: all arithmetic is exact in float32: weights are short binary fractions.
        widths: numbers of output channels.
        spaces: numbers of axes of space.
        steps: most that are drawn.
    """
    space = draw(st.sampled_from(spaces))
    size = (
        draw(st.sampled_from([1, 2, 4])),
        *(draw(st.integers(2, 4 if space < 3 else 2)) for _ in range(space)),
    )
    builder = _Builder(draw, size, exact, list(widths))
    convolution(builder, 0)
    relu(builder, len(builder.found) - 1)
    for _ in range(draw(st.integers(1, steps))):
        builder.step()
    last = len(builder.found) - 1
    builder.add("affine", (last,), nn.Flatten())
    linear(builder, len(builder.found) - 1)
    builder.network.record = draw(st.booleans())
    return builder.network.eval()


def images_for(network: Network, count: int) -> Tensor:
    """Images [B, C, ...] of short binary fractions, float32."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(-2, 8, (count, *network.size), generator=generator) / 8
