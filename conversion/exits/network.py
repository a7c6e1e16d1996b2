"""A converted network that ends an image as soon as it is confident of its answer.

Nothing about the simulation itself changes: a first pass finds the step at which each image ends,
and a second one runs the images that end together to that step, so that spikes, synaptic operations
and time steps are those of a network that stops there.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import torch
from torch import Tensor, fx

from conversion.converted import DEFAULT_CHUNK, Converted
from conversion.exits.rules import EntropyExit, RightAnswers
from conversion.fitting.kept import KeptCalibration
from conversion.graph.plain import note, noted
from conversion.outputs import Activity, Readout, item_of
from conversion.report import Report
from conversion.simulation.backend import Precision


class EarlyExit(Converted):
    """A converted network with exits.

    Where the network is fitted for one T, that T is the last time step that is asked for.

    Args:
        network: runs the images.
        rule: when an image ends.
        ann: the ANN's graph, whose answers count as right.
        batches: calibration images, to fit thresholds on.
    """

    def __init__(
        self, network: Converted, rule: EntropyExit, ann: fx.GraphModule, batches: list[Tensor]
    ) -> None:
        super().__init__(network.plan)
        self._network = network
        self._rule = rule
        self._ann = ann
        self.calibration = KeptCalibration(batches)
        self._thresholds: dict[int, dict[int, float]] = {}

    @property
    def network(self) -> Converted:
        """What runs the images."""
        return self._network

    @property
    def ann(self) -> fx.GraphModule:
        """The ANN's graph."""
        return self._ann

    @property
    def exits(self) -> dict[int, dict[int, float]]:
        """Fitted h_t by the last step, then by the step where an image may end."""
        return self._thresholds

    @property
    def report(self) -> Report:
        """What became of every operation, in graph order."""
        return self._network.report

    def at(self, t: int) -> Converted:
        """The network itself, without exits, that is read out at t."""
        self._network.memory_mib = self.memory_mib
        return self._network.at(t)

    @torch.no_grad()
    def thresholds_for(
        self, time_steps: int, chunk: int = DEFAULT_CHUNK, precision: Precision = "float32"
    ) -> dict[int, float]:
        """h_t at every step before the last where an image may end; fitted when first asked for.

        Args:
            time_steps: the last step.
            chunk: as for `simulate`.
            precision: as for `simulate`.
        """
        if time_steps not in self._thresholds:
            rule, steps = self._rule, self._rule.steps(time_steps)
            right = RightAnswers(rule)
            left = rule.images if self._must_fit(time_steps) else 0
            what = f"exit '{rule.name}' at T = {time_steps}"
            for batch in self.calibration.needed(what) if left else ():
                images = batch[: max(left, 0)]
                left -= len(batch)
                if not len(images):
                    break
                ann = self._ann(images)
                for readout in self.at(time_steps)._readouts(images, [*steps, time_steps], chunk, precision):
                    right.add(readout.t, readout.output, ann)
            self._thresholds[time_steps] = rule.fitted(right.means or dict.fromkeys(steps))
        return self._thresholds[time_steps]

    def is_fitted(self, t: int) -> bool:
        """True where a read-out at t, as the last one, needs no fit any more."""
        return self._network.is_fitted(t) and not self._must_fit(t)

    def _must_fit(self, last: int) -> bool:
        """True where thresholds of exits before this step are unknown and come from images."""
        return last not in self._thresholds and self._rule.threshold is None and bool(self._rule.steps(last))

    def _fit(self, t: int) -> None:
        self._network._fit(t)
        self.thresholds_for(t)

    def _readouts(
        self, images: Tensor, steps: list[int], chunk: int, precision: Precision
    ) -> Generator[Readout, None, None]:
        """Read-outs at the given steps, each image at the latest from the step where it ended.

        `t_total` is the mean over images of the steps run; `averaged` is that of images that have not ended.
        """
        last = steps[-1]
        if not self.is_fitted(last):
            self._say_fitting(last)
        if not len(images):
            yield from self.at(last)._readouts(images, steps, chunk, precision)
            return
        ends, outputs, averaged = self._first_pass(images, steps, chunk, precision)
        spikes: dict[int, dict[str, float]] = {t: {} for t in steps}
        synops: dict[int, dict[str, float]] = {t: {} for t in steps}
        run = dict.fromkeys(steps, 0.0)
        for end in ends.unique().tolist():
            group = images[ends == end]
            stops = [*(t for t in steps if t < end), end]
            found = {r.t: r for r in self.at(last)._readouts(group, stops, chunk, precision)}
            for t in steps:
                readout = found[min(t, end)]
                run[t] += readout.t_total * len(group)
                _count(spikes[t], readout.activity.spikes)
                _count(synops[t], readout.activity.synops)
        for t in steps:
            activity = Activity(len(images), spikes[t], synops[t])
            yield Readout(t, averaged[t], run[t] / len(images), outputs[t], activity, readout.ran)

    def _first_pass(
        self, images: Tensor, steps: list[int], chunk: int, precision: Precision
    ) -> tuple[Tensor, dict[int, Any], dict[int, int]]:
        """Step at which each image ends [B], outputs at the given steps, and the steps they average."""
        last = steps[-1]
        thresholds = self.thresholds_for(last, chunk, precision)
        allowed = set(self._rule.steps(last))
        running = torch.ones(len(images), dtype=torch.bool, device=images.device)
        ends = torch.full((len(images),), last, device=images.device)
        outputs: dict[int, Any] = {}
        averaged: dict[int, int] = {}
        output: Any = None
        for readout in self.at(last)._readouts(images, sorted({*allowed, *steps}), chunk, precision):
            if output is None:
                output = readout.output
            else:
                output = _where(running, readout.output, output, self.plan.of_images)
            if readout.t in steps:
                outputs[readout.t], averaged[readout.t] = output, readout.averaged
            if readout.t in allowed:
                sure = running & (self._rule.confidence(readout.output, len(images)) > thresholds[readout.t])
                ends[sure] = readout.t
                running &= ~sure
            if not running.any():
                break
        for t in steps:
            outputs.setdefault(t, output)
            averaged.setdefault(t, readout.averaged)
        return ends, outputs, averaged

    def get_extra_state(self) -> Tensor:
        """Fitted thresholds of exits, for the state dict."""
        return note({"recipe": self.recipe.parts(), "exits": self._thresholds})

    def set_extra_state(self, state: Tensor) -> None:
        """Take over what `get_extra_state` of another network of the same recipe gave.

        Raises:
            ValueError: it comes from another recipe.
        """
        found = noted(state)
        if found.get("recipe") != self.recipe.parts():
            raise ValueError(f"the state is of another recipe than '{self.recipe.label}'")
        self._thresholds = found["exits"]

    def _thresholds_in_words(self) -> str:
        return self._network._thresholds_in_words()


def _where(running: Tensor, new: Any, old: Any, of_images: Any) -> Any:
    """Outputs of images that still run from `new`, of the others from `old`; `of_images` as for `joined`."""
    if isinstance(new, Tensor):
        if not of_images or not new.ndim:
            return new  # holds nothing of single images
        rows = running.repeat_interleave(len(new) // len(running))
        return torch.where(rows.view(-1, *[1] * (new.ndim - 1)), new, old)
    if isinstance(new, dict):
        return {key: _where(running, new[key], old[key], item_of(of_images, key)) for key in new}
    if isinstance(new, list | tuple):
        pairs = enumerate(zip(new, old, strict=True))
        items = [_where(running, one, two, item_of(of_images, index)) for index, (one, two) in pairs]
        return type(new)(*items) if hasattr(new, "_fields") else type(new)(items)
    return new


def _count(total: dict[str, float], more: Any) -> None:
    for name, value in more.items():
        total[name] = total.get(name, 0.0) + value
