"""Base of everything that a network can be converted into: simulate it, read it out at any time step."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any, Self

import torch
from torch import Tensor, nn

from conversion.compiled.fixed_point import Precision
from conversion.costs.synapses import Connectivity, connectivity
from conversion.errors import ImageError
from conversion.graph.operations import SOURCES, Kind
from conversion.graph.plan import Entry, Plan
from conversion.inputs import HALVES, checked_budget, images_of, takes, whole_number
from conversion.outputs import Readout
from conversion.recipes import Recipe
from conversion.trial import why_not

DEFAULT_CHUNK = 16  # time steps pushed through one layer before the next


class Converted(nn.Module):
    """Base of converted networks: the plan, the report, the exact connectivity.

    Attributes:
        recipe: the conversion method.
        report: what became of every operation, in graph order.
        memory_mib: budget of a simulation in MiB, or none. Images are then simulated so many at a time, in
            chunks of so many steps, that states and activations stay within it. Weights and the images
            themselves come on top.
    """

    def __init__(self, plan: Plan, report: list[Entry]) -> None:
        super().__init__()
        self.captured = plan.captured
        self.plan = plan
        self.report = report
        self.memory_mib = None
        self._connectivity: dict[torch.Size, Connectivity] = {}

    def train(self, mode: bool = True) -> Self:
        """Set the mode of this module; the converted network itself always evaluates."""
        super().train(mode)
        self.captured.eval()
        return self

    @property
    def recipe(self) -> Recipe:
        """The conversion method."""
        return self.plan.recipe

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
        """Synapses of every layer for images of this size; measured once a size."""
        size = images.shape[1:]
        if size not in self._connectivity:
            one = images[:1] if len(images) else images.new_zeros(1, *size)
            self._connectivity[size] = connectivity(self.plan, one)
        return self._connectivity[size]

    def simulate(
        self,
        images: Tensor,
        time_steps: int | Iterable[int],
        chunk: int = DEFAULT_CHUNK,
        precision: Precision = "float32",
    ) -> Generator[Readout, None, None]:
        """Read-outs at the given time steps, from one simulation."""
        raise NotImplementedError

    def title(self, t: int) -> str:
        """What a picture of its output at t is called."""
        return f"SNN, t = {t}"

    def at(self, t: int) -> Converted:
        """The network that is read out at t: itself, unless the recipe fits one for each t."""
        return self

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


def source_layers(network: Converted) -> list[tuple[str, Kind]]:
    """Names and kinds of the layers that emit spikes."""
    roles = network.plan.roles.values()
    return [(role.name, role.kind) for role in roles if role.kind in SOURCES]
