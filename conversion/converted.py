"""Base of everything that a network can be converted into: simulate it, read it out at any time step."""

from __future__ import annotations

import html
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import accumulate
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, fx, nn

from conversion.costs.synapses import Connectivity, connectivity
from conversion.errors import ImageError
from conversion.graph.operations import SOURCES, Kind
from conversion.inputs import HALVES, Takes, checked_budget, checked_chunk, images_of, takes, whole_number
from conversion.outputs import Readout
from conversion.plan.layer import SpikingLayer
from conversion.plan.method import Method
from conversion.plan.plan import Plan
from conversion.report import Audit, Report, audit, in_words, report_of
from conversion.simulation.backend import Precision
from conversion.simulation.progress import shown
from conversion.tensors import on_device_of
from conversion.trial import why_not

DEFAULT_CHUNK = 16  # time steps pushed through one layer before the next

_MOVING: ContextVar[dict[int, Takes] | None] = ContextVar("graphs of the move that runs", default=None)


class Converted(nn.Module):
    """Base of converted networks: the plan, the report, the exact connectivity.

    It is an ordinary module: copies and pickles simulate the same, `to` moves all of it, and its state
    dict holds everything that was fitted. `save` writes it to a file that `conversion.load` reads.

    Args:
        plan: captured graph with the role of every operation.

    Attributes:
        recipe: the conversion method.
        report: what became of every operation, in graph order; prints as a table.
        memory_mib: budget of a simulation in MiB, or none. The number of images at a time and the chunk of
            time steps are then chosen so that states and activations stay within it. Weights and the images
            themselves come on top.
        provenance: where the network comes from, by word: versions of the packages "spikemark" and "torch",
            the "recipe", "calibration" (SHA-256 of its images), how many "images" they are, and the "date"
            of conversion.
    """

    # Set by `conversion.saving`, which knows all kinds of networks.
    _writer: ClassVar[Callable[[Converted, str | Path, bool], None]]

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.captured = plan.captured
        self.plan = plan
        self.memory_mib = None
        self.provenance: dict[str, Any] = {}
        self._connectivity: dict[torch.Size, Connectivity] = {}
        self._counted_for: tuple[Any, ...] | None = None  # state of the weights

    def train(self, mode: bool = True) -> Self:
        """Set the mode of this module; the converted network itself always evaluates."""
        super().train(mode)
        self.captured.eval()
        return self

    @property
    def recipe(self) -> Method:
        """The conversion method, as far as running it goes."""
        return self.plan.method

    @property
    def report(self) -> Report:
        """What became of every operation, in graph order."""
        return report_of(self.plan, self._reported())

    @property
    def audit(self) -> Audit:
        """How much of the network spikes: one word, a share, and the operations that do not."""
        return audit(self.plan)

    def _reported(self) -> Mapping[str, SpikingLayer]:
        """Fitted layers that the report describes."""
        return {}

    @property
    def memory_mib(self) -> float | None:
        """Budget of a simulation in MiB, or none."""
        return self._memory_mib

    @memory_mib.setter
    def memory_mib(self, mib: float | None) -> None:
        self._memory_mib = checked_budget(mib)

    def checked(self, images: Any) -> Tensor:
        """Images as the network takes them, in its precision.

        Raises:
            ImageError: they are of another kind, rank or device, or of a size that the network cannot take;
                names what came and what is expected.
        """
        network = takes(self.captured)
        if network.dtype in HALVES:
            raise ImageError(
                f"the converted network has weights in {network.dtype}, but membranes add up many small "
                "currents; simulate it in full precision: network.float()"
            )
        (placeholder,) = (node for node in self.captured.graph.nodes if node.op == "placeholder")
        fitted = self.plan.shapes[placeholder]
        checked = images_of(images, "images", network)
        came = f"got {list(checked.shape)}"
        expected = f"expected a batch [B, {', '.join(map(str, fitted[1:]))}], as in calibration"
        if checked.ndim == len(fitted) - 1:
            raise ImageError(f"images: {expected}, {came}; add the axis of images by images[None]")
        if checked.ndim != len(fitted):
            raise ImageError(f"images: {expected}, {came}")
        if network.device is not None and checked.device != network.device:
            raise ImageError(
                f"images: they are on the device {checked.device}, the network is on {network.device}; move "
                "one of them, for example by images.to(device)"
            )
        self.plan.check_size(checked)
        size = checked.shape[1:]
        if size != fitted[1:] and size not in self._connectivity:
            reason = why_not(self.captured, checked.new_zeros(1, *size))
            if reason is not None:
                raise ImageError(f"images: {expected}, {came}, which the network does not take: {reason}")
        return checked

    def connectivity(self, images: Tensor) -> Connectivity:
        """Synapses of every layer for images of this size; measured once a size, until weights change."""
        size, state = images.shape[1:], self._state_of_weights()
        if self._counted_for != state:
            if self._counted_for is not None:
                self._forget_counts()
            self._counted_for = state
        if size not in self._connectivity:
            one = images[:1] if len(images) else images.new_zeros(1, *size)
            self._connectivity[size] = connectivity(self.plan, one)
        return self._connectivity[size]

    @torch.no_grad()
    def simulate(
        self,
        images: Tensor,
        time_steps: int | Iterable[int],
        chunk: int = DEFAULT_CHUNK,
        precision: Precision = "float32",
        progress: bool = False,
    ) -> Generator[Readout, None, None]:
        """Run the network on constant analog images and read it out.

        Memory is bounded by `chunk` and by `memory_mib`, not by the number of time steps. Stop iterating to
        stop early; where the budget holds only some of the images, all of them have run to the last step
        before the first read-out. What the recipe must know T for is fitted now where that has not been
        done before, and a warning says so; see `fit_for`.

        Args:
            images: analog input [B, C, H, W], presented in every step; floats, normalised as in training.
            time_steps: when to read out, one number or several, counted from the end of steps that the
                recipe runs before; sorted, duplicates removed.
            chunk: most time steps that pass through a layer at once.
            precision: of the weights that spikes meet; "int16" and "int8" are faster fixed point on
                CPUs, with one scale per output channel, "float16" and "bfloat16" are faster on GPUs, each
                where the machine has it (see `effective_precision`). Membranes and everything else stay
                float32.
            progress: show a bar of time steps, in a terminal or a notebook.

        Yields:
            One read-out per time step, in order.

        Raises:
            ValueError: a time step or the chunk is no positive whole number, or the precision is unknown.
            ImageError: images are not what the network takes.
            CalibrationError: T needs a fit, and the network was saved without calibration images.
            ConversionError: initial potentials were fitted for images of another size; names the layer.
            MemoryBudgetError: not even one image fits into `memory_mib`.
        """
        steps = self.recipe.checked(checked_time_steps(time_steps))
        chunk = checked_chunk(chunk)
        checked = self.checked(images)
        readouts = self._readouts(checked, steps, chunk, precision)
        yield from shown(readouts, len(checked), self._work(steps)) if progress else readouts

    def _work(self, steps: list[int]) -> list[int]:
        """Time steps that have run in all when each read-out comes; more where each is a run of its own."""
        return list(accumulate(steps)) if self.recipe.runs_anew else steps

    def _readouts(
        self, images: Tensor, steps: list[int], chunk: int, precision: Precision
    ) -> Generator[Readout, None, None]:
        """Read-outs of checked images; arguments as for `simulate`."""
        raise NotImplementedError

    def fit_for(self, time_steps: int | Iterable[int]) -> Self:
        """Fit what read-outs at these time steps need, so that `simulate` need not.

        Nothing is left to do where the recipe does not depend on T.

        Args:
            time_steps: one or several, as for `simulate`.

        Returns:
            The network itself.
        """
        steps = self.recipe.checked(checked_time_steps(time_steps))
        with torch.inference_mode(False), torch.no_grad():
            for t in steps:
                self._fit(t)
        return self

    def is_fitted(self, t: int) -> bool:
        """True where a read-out at t needs no fit any more."""
        return True

    def _fit(self, t: int) -> None:
        """Fit what a read-out at t needs, if it is not fitted yet."""

    def _say_fitting(self, t: int) -> None:
        warnings.warn(
            f"recipe '{self.recipe.label}' is fitted for T = {t} only now, while it is simulated; "
            f"convert(..., time_steps={t}) fits it at once, and so does network.fit_for({t})",
            UserWarning,
            stacklevel=2,
        )

    def save(self, path: str | Path, calibration: bool = True) -> None:
        """Write the network to a file of plain data and tensors, which `conversion.load` reads.

        The file is complete or not there: it is written beside its place first. Whoever loads it runs no
        code from it.

        Args:
            path: of the file; one that is there is replaced.
            calibration: keep calibration images where the recipe may still need them, to fit for other T.
                Without them the file is smaller and holds no images; what is fitted stays fitted.

        Raises:
            SavedNetworkError: something in the network has no plain form; names it.
        """
        self._writer(path, calibration)

    def title(self, t: int) -> str:
        """What a picture of its output at t is called."""
        return f"SNN, t = {t}"

    def at(self, t: int) -> Converted:
        """The network that is read out at t: itself, unless the recipe fits one for each t."""
        return self

    def __getstate__(self) -> dict[str, Any]:
        """What copies and pickles take over: everything that cannot be computed again."""
        return dict(self.__dict__)

    def __setstate__(self, state: dict[str, Any]) -> None:
        module: Any = super()  # PyTorch gives it no types
        module.__setstate__(state)
        self._counted_for = self._state_of_weights()

    def _state_of_weights(self) -> tuple[Any, ...]:
        """Changes when a weight changes; a weight of 0 has no synapses."""
        tensors = [*self.captured.parameters(), *self.captured.buffers()]
        return tuple((id(tensor), 0 if tensor.is_inference() else tensor._version) for tensor in tensors)

    def _forget_counts(self) -> None:
        """Drop what was counted for other weights."""
        self._connectivity = {}

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move or cast everything that is a tensor, shared graphs once; what was counted is moved alone."""
        captured = self.captured
        with _one_move() as graphs:
            if first := id(captured) not in graphs:
                graphs[id(captured)] = takes(captured)
            before = graphs[id(captured)]
            module: Any = super()  # PyTorch gives it no types
            self._modules["captured"] = captured if first else None
            try:
                module._apply(fn, recurse)
            finally:
                self._modules["captured"] = captured
        after = takes(captured)
        if before.dtype != after.dtype:
            self._forget_counts()  # a small weight may have become 0
        self._counted_for = self._state_of_weights()
        self._connectivity = {size: on_device_of(fn, one) for size, one in self._connectivity.items()}
        if first and before.device is not None and after.device is not None and before.device != after.device:
            _rename_device(captured, before.device, after.device)
        return self

    def __repr__(self) -> str:
        lines = "".join(f"  {name}: {value}\n" for name, value in self._described().items())
        return f"{type(self).__name__}(\n{lines})"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>"
            for name, value in self._described().items()
        )
        return f"<table><caption>{type(self).__name__}</caption><tbody>{rows}</tbody></table>"

    def _described(self) -> dict[str, str]:
        """What a glance at the network shows."""
        recipe, found = self.recipe, self.audit
        share = found.share
        neuron = recipe.neuron.as_dict()
        settings = ", ".join(f"{key}={value}" for key, value in neuron.items() if key != "name")
        kinds = [role.kind for role in self.plan.roles.values()]
        return {
            "recipe": recipe.label,
            "neuron": recipe.neuron.name + (f" ({settings})" if settings else ""),
            "layers": f"{kinds.count(Kind.NEURON)} of neurons, {kinds.count(Kind.WEIGHTED)} with weights",
            "thresholds": self._thresholds_in_words(),
            "spiking": f"{'unknown' if share is None else f'{share:.1%}'} of the ANN's operations",
            "verdict": found.verdict,
        }

    def _thresholds_in_words(self) -> str:
        """Range of all thresholds."""
        layers = self._reported()
        if not layers:
            return "none"
        return in_words(*(layer.threshold for layer in layers.values()))

    def forward(self, images: Tensor, time_steps: int = 64) -> Any:
        """Mean output after `time_steps` steps, for images [B, C, H, W]."""
        *_, last = self.simulate(images, (time_steps,))
        return last.output


def checked_time_steps(time_steps: int | Iterable[int]) -> list[int]:
    """Sorted time steps without duplicates; ValueError unless all are positive whole numbers.

    Args:
        time_steps: one or several, of Python, NumPy or PyTorch.
    """
    several = isinstance(time_steps, Iterable) and not isinstance(time_steps, str | bytes)
    if several and getattr(time_steps, "ndim", True):  # not one number in an array
        given: list[Any] = list(time_steps)  # type: ignore[arg-type]
    else:
        given = [time_steps]
    steps = [whole_number(t) for t in given]
    positive = {t for t in steps if t is not None and t >= 1}
    if not given or len(positive) < len(set(steps)):
        raise ValueError(f"time steps must be positive whole numbers, got {given or 'none'}")
    return sorted(positive)


@contextmanager
def _one_move() -> Iterator[dict[int, Takes]]:
    """What graphs took before this move, by id; networks fitted for one T each share their graph."""
    known = _MOVING.get()
    if known is not None:
        yield known
        return
    known = {}
    token = _MOVING.set(known)
    try:
        yield known
    finally:
        _MOVING.reset(token)


def _rename_device(captured: fx.GraphModule, before: torch.device, after: torch.device) -> None:
    """Let operations that make tensors make them on another device."""

    def renamed(value: Any) -> Any:
        return after if isinstance(value, torch.device) and value == before else value

    changed = False
    for node in captured.graph.nodes:
        args = fx.node.map_aggregate((node.args, node.kwargs), renamed)
        if args != (node.args, node.kwargs):
            node.args, node.kwargs = args
            changed = True
    if changed:
        captured.recompile()


def source_layers(network: Converted) -> list[tuple[str, Kind]]:
    """Names and kinds of the layers that emit spikes."""
    roles = network.plan.roles.values()
    return [(role.name, role.kind) for role in roles if role.kind in SOURCES]
