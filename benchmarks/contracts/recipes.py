"""What every recipe promises, judged on one small network that has a skip and a max pooling."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from conversion import Converted, Readout, Recipe, convert, recipe_from
from conversion.graph.activations import QCFS
from conversion.parts import build_part
from conversion.recipes import KINDS

Spec = str | Mapping[str, Any]  # a recipe as matrices name it
TIME_STEPS = (1, 4, 32)
CLASSES, IMAGES = 5, 6
BOUND = 0.8  # of an activation; calibration images reach it in some channels
LARGEST_ERROR = 0.4  # of the outputs at the last t, relative to their norm


class Judged(nn.Module):
    """Maps images [B, 1, 8, 8] to logits [B, 5]; weights are random, and the same in every call."""

    def __init__(self, trained_for_conversion: bool) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.first, self.second = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
            self.norm, self.head = nn.BatchNorm2d(8), nn.Linear(8 * 4, CLASSES)
        self.before, self.after = (QCFS(8, 2.0) if trained_for_conversion else nn.ReLU() for _ in range(2))
        self.largest, self.mean = nn.MaxPool2d(2), nn.AvgPool2d(2)

    def forward(self, images: Tensor) -> Tensor:
        """Map images to logits."""
        early = self.largest(self.before(self.first(images)))
        late = self.after(self.norm(self.second(early)) + early)
        logits: Tensor = self.head(self.mean(late).flatten(1))
        return logits


def images() -> Tensor:
    """Images [6, 1, 8, 8] in [-1, 1], the same in every call."""
    generator = torch.Generator().manual_seed(1)
    return torch.rand(IMAGES, 1, 8, 8, generator=generator) * 2 - 1


def says_what_it_is(recipe: Spec) -> None:
    """It has a summary and a source of one line each, and plain values describe it completely."""
    chosen = recipe_from(recipe)
    for field in ("summary", "paper"):
        text = getattr(chosen, field)
        assert text.strip(), f"{field} is empty"
        assert "\n" not in text, f"{field} has more than one line"
    parts = chosen.parts()
    assert json.loads(json.dumps(parts)) == parts, f"parameters are not plain values: {parts}"
    again = recipe_from({"preset": chosen.name, **parts})
    assert again.parts() == parts, "its parts do not give the same recipe again"


def can_be_tuned(recipe: Spec) -> None:
    """The search range of every parameter holds its default, and both ends are accepted."""
    chosen = recipe_from(recipe)
    for kind in KINDS:
        part = getattr(chosen, kind)
        for field in dataclasses.fields(part):
            if "range" not in field.metadata or field.metadata["of_time_steps"]:
                continue
            low, high = field.metadata["range"]
            default: Any = field.default
            assert low <= default <= high, f"{kind}.{field.name}: {default} not in [{low}, {high}]"
            for end in (low, high):
                build_part(kind, {**part.as_dict(), field.name: type(default)(end)})


def leaves_the_network_untouched(recipe: Spec) -> None:
    """Conversion and simulation change no weight of the network they were given."""
    before, after = _network(recipe).state_dict(), _known(recipe_from(recipe)).ann.state_dict()
    for name, value in after.items():
        assert torch.equal(value, before[name]), f"conversion has changed {name}"


def repeats_itself(recipe: Spec) -> None:
    """Converted and run twice, it gives the same outputs and the same spikes."""
    first, second = _readouts(recipe), _Conversion(recipe_from(recipe)).readouts
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one.output, other.output), f"outputs at t = {one.t} differ between two runs"
        assert one.activity.spikes == other.activity.spikes, f"spikes at t = {one.t} differ between two runs"


def does_not_depend_on_the_batch(recipe: Spec) -> None:
    """An image gives the same output whichever images are simulated beside it."""
    snn = _converted(recipe)
    halves = [list(snn.simulate(part, TIME_STEPS)) for part in images().split([2, IMAGES - 2])]
    for whole, *parts in zip(_readouts(recipe), *halves, strict=True):
        _close(torch.cat([part.output for part in parts]), whole.output, f"at t = {whole.t}, by the batch")


def does_not_depend_on_the_chunk(recipe: Spec) -> None:
    """However many steps are simulated at once, the outputs stay the same."""
    snn = _converted(recipe)
    for one, other in zip(snn.simulate(images(), TIME_STEPS, chunk=3), _readouts(recipe), strict=True):
        _close(one.output, other.output, f"at t = {one.t}, by the chunk")


def counts_what_it_sends(recipe: Spec) -> None:
    """No spikes below zero, none above what its neuron may send, and no SynOps without spikes."""
    chosen, snn = recipe_from(recipe), _converted(recipe)
    units = snn.connectivity(images()).units
    for readout in _readouts(recipe):
        assert readout.t_total >= readout.averaged >= 1
        for name, count in readout.activity.spikes.items():
            most = chosen.neuron.max_per_step * readout.t_total * units[name] * IMAGES
            pooled = name == "largest" and chosen.pooling.graded
            assert count >= 0, f"{name} sends {count} spikes"
            assert pooled or count <= most + 1e-3, f"{name} sends {count} spikes, at most {most} are possible"
        synops = readout.activity.synops.values()
        assert all(count >= 0 for count in synops)
        if sum(readout.activity.spikes.values()) == 0:
            assert sum(synops) == 0, "synaptic operations without a spike"


def comes_closer_to_the_network(recipe: Spec) -> None:
    """With more time steps the outputs come closer to those of the network."""
    with torch.no_grad():
        ann = _network(recipe)(images())
    errors = [float((readout.output - ann).norm() / ann.norm()) for readout in _readouts(recipe)]
    said = ", ".join(f"{error:.3f} at t = {t}" for t, error in zip(TIME_STEPS, errors, strict=True))
    assert errors[-1] <= max(errors[0], 0.01), f"the error grows with t: {said}"
    assert errors[-1] <= LARGEST_ERROR, f"the error stays above {LARGEST_ERROR}: {said}"


def keeps_to_bounds(recipe: Spec) -> None:
    """What is sent stays below the upper bound of an activation, whatever the images."""
    chosen = recipe_from(recipe)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        activation = QCFS(8, BOUND) if chosen.retrains else nn.Hardtanh(0, BOUND)
        network = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), activation, nn.Flatten()).eval()
    snn = convert(network, chosen, [images()], time_steps=chosen.lengths(TIME_STEPS))
    for readout in snn.simulate(8 * images(), TIME_STEPS):
        largest = float(readout.output.max())
        assert largest <= BOUND * 1.001, f"sends {largest:.3f} at t = {readout.t}, above the bound {BOUND}"


RECIPE_LAWS = (
    says_what_it_is,
    can_be_tuned,
    leaves_the_network_untouched,
    repeats_itself,
    does_not_depend_on_the_batch,
    does_not_depend_on_the_chunk,
    counts_what_it_sends,
    comes_closer_to_the_network,
    keeps_to_bounds,
)


class _Conversion:
    """A recipe's conversion of the judged network, and its read-outs."""

    def __init__(self, recipe: Recipe) -> None:
        self.ann = Judged(recipe.retrains).eval()
        self.snn = convert(self.ann, recipe, [images()], time_steps=recipe.lengths(TIME_STEPS))
        self.readouts = list(self.snn.simulate(images(), TIME_STEPS))


@lru_cache(maxsize=2)  # the laws of one recipe follow each other
def _known(recipe: Recipe) -> _Conversion:
    return _Conversion(recipe)


def _network(recipe: Spec) -> Judged:
    return Judged(recipe_from(recipe).retrains).eval()


def _converted(recipe: Spec) -> Converted:
    return _known(recipe_from(recipe)).snn


def _readouts(recipe: Spec) -> list[Readout]:
    return _known(recipe_from(recipe)).readouts


def _close(one: Tensor, other: Tensor, where: str) -> None:
    """Rounding may move one spike of one neuron, and no more."""
    apart = float((one - other).norm() / other.norm().clamp(min=1e-6))
    assert apart < 0.01, f"outputs differ {where}: by {100 * apart:.1f} % of their norm"
