"""torch.nn's recurrent layers, over a sequence inside each image, as what they are made of.

Rows of a map, or tokens, are read one after the other within each time step of the spiking network. So the
layer is stateless over time steps: for each entry of the sequence a linear layer, sigmoids, tanhs and
products, all with the same weights. A state of zeros at the start costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx.proxy import TraceError

_ACTIVATIONS = {"RNN_TANH": torch.tanh, "RNN_RELU": torch.relu}
_CELLS: dict[type[nn.Module], str] = {nn.LSTMCell: "LSTM", nn.GRUCell: "GRU", nn.RNNCell: ""}
# What a network's code may ask of its layer, for states of its own.
_ASKED = (
    "mode",
    "input_size",
    "hidden_size",
    "num_layers",
    "bias",
    "batch_first",
    "dropout",
    "bidirectional",
)


class _Step(nn.Module):
    """One step of a layer in one direction. Its state is h, and c of an LSTM, [B, ...]; none: zeros.

    Args:
        original: holds the weights.
        mode: "LSTM", "GRU", "RNN_TANH" or "RNN_RELU".
        suffix: of the names of its weights, as "_l0_reverse"; none for a cell.
    """

    def __init__(self, original: Any, mode: str, suffix: str = "") -> None:
        super().__init__()
        weight, again = (getattr(original, f"weight_{kind}{suffix}").detach() for kind in ("ih", "hh"))
        biases: list[Any] = [getattr(original, f"bias_{kind}{suffix}", None) for kind in ("ih", "hh")]
        self.mode = mode
        self.rest = None  # of a GRU: what its reset gate lets through of a state of zeros
        bias = None
        if biases[0] is not None:
            bias, other = (one.detach().clone() for one in biases)
            if mode == "GRU":
                size = len(other) // 3
                self.rest = nn.Parameter(other[2 * size :].clone(), requires_grad=False)
                other[2 * size :] = 0
            bias += other
        self.arriving = _linear(weight, bias)
        self.recurrent = _linear(again, None)
        smaller = getattr(original, f"weight_hr{suffix}", None)
        self.projection = None if smaller is None else _linear(smaller.detach(), None)

    def forward(self, arriving: Any, state: Sequence[Any]) -> tuple[Any, ...]:
        """The next state, from what `self.arriving` gives for an entry of the sequence, [B, gates]."""
        if self.mode == "GRU":
            return (self._gru(arriving, state),)
        gates = arriving + self.recurrent(state[0]) if state else arriving
        if self.mode != "LSTM":
            return (_ACTIVATIONS[self.mode](gates),)
        enter, keep, new, leave = gates.chunk(4, -1)
        memory = torch.sigmoid(enter) * torch.tanh(new)
        if state:
            memory = torch.sigmoid(keep) * state[1] + memory
        output = torch.sigmoid(leave) * torch.tanh(memory)
        return (output if self.projection is None else self.projection(output)), memory

    def _gru(self, arriving: Any, state: Sequence[Any]) -> Any:
        reset, update, new = arriving.chunk(3, -1)
        through = self.rest
        if state:
            again = self.recurrent(state[0]).chunk(3, -1)
            reset, update = reset + again[0], update + again[1]
            through = again[2] if through is None else again[2] + through
        if through is not None:
            new = new + torch.sigmoid(reset) * through
        new = torch.tanh(new)
        before = state[0] - new if state else -new
        return new + torch.sigmoid(update) * before


class PlainRecurrent(nn.Module):
    """nn.LSTM, nn.GRU or nn.RNN in eval mode, written out.

    Args:
        original: whose weights are taken.
    """

    def __init__(self, original: nn.RNNBase) -> None:
        super().__init__()
        for name in _ASKED:
            setattr(self, name, getattr(original, name))
        self.layers = int(original.num_layers)
        self.kind = type(original).__name__
        ends = ("", "_reverse") if original.bidirectional else ("",)
        names = [f"_l{layer}{end}" for layer in range(original.num_layers) for end in ends]
        self.ways = len(ends)
        self.steps = nn.ModuleList(_Step(original, original.mode, name) for name in names)

    def flatten_parameters(self) -> None:
        """Nothing: networks call it for the memory of GPUs."""

    def forward(self, input: Tensor, hx: Any = None) -> tuple[Tensor, Any]:
        """Output and last states, as the original gives them."""
        x: Any = input if self.batch_first else input.transpose(0, 1)
        length = x.size(1)
        if not isinstance(length, int):
            raise TraceError(
                f"its nn.{self.kind} runs along the images of a batch; give it sequences that lie within an "
                "image, [B, N, E] with batch_first=True or [N, B, E] without"
            )
        states = () if hx is None else (hx if isinstance(hx, tuple) else (hx,))
        last: list[tuple[Any, ...]] = []
        for layer in range(self.layers):
            ways = []
            for way in range(self.ways):
                index = layer * self.ways + way
                step: Any = self.steps[index]
                arriving, state = step.arriving(x), tuple(one[index] for one in states)
                found = []
                for place in range(length) if way == 0 else reversed(range(length)):
                    state = step(arriving[:, place], state)
                    found.append(state[0])
                last.append(state)
                ways.append(torch.stack(found if way == 0 else found[::-1], 1))
            x = ways[0] if self.ways == 1 else torch.cat(ways, -1)
        ends = tuple(torch.stack(kind, 0) for kind in zip(*last, strict=True))
        return (x if self.batch_first else x.transpose(0, 1)), (ends if len(ends) > 1 else ends[0])


class PlainCell(nn.Module):
    """nn.LSTMCell, nn.GRUCell or nn.RNNCell, written out.

    Args:
        original: whose weights are taken.
    """

    def __init__(self, original: Any) -> None:
        super().__init__()
        self.input_size, self.hidden_size = original.input_size, original.hidden_size
        mode = next(mode for kind, mode in _CELLS.items() if isinstance(original, kind))
        self.step = _Step(original, mode or f"RNN_{original.nonlinearity.upper()}")

    def forward(self, input: Tensor, hx: Any = None) -> Any:
        """The next state, as the original gives it."""
        state = () if hx is None else (hx if isinstance(hx, tuple | list) else (hx,))
        after = self.step(self.step.arriving(input), state)
        return after if len(after) > 1 else after[0]


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias is not None, device="meta")
    layer.weight = nn.Parameter(weight, requires_grad=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias, requires_grad=False)
    return layer
