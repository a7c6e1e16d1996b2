"""Convert a trained network: capture, sort, calibrate, set thresholds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn

from conversion.capture import capture
from conversion.errors import CalibrationError, ConversionError
from conversion.network import Converted, SpikingNetwork
from conversion.operations import Kind
from conversion.plan import Entry, Plan, last_uses
from conversion.quantised import QuantisedNetwork
from conversion.quantiser import Quantiser
from conversion.recipes import Recipe, recipe_from
from conversion.roles import Role, sort_into_roles
from conversion.signals import map_structure
from conversion.statistics import ActivationStatistics
from conversion.submodules import find_submodule, in_eval_mode, inputs_of


def convert(
    ann: nn.Module,
    recipe: str | Mapping[str, Any] | Recipe = "spicalib",
    calibration: Tensor | Iterable[Any] = (),
    submodule: str | None = None,
) -> Converted:
    """Convert a trained network into a spiking one; the network itself is left untouched.

    Args:
        ann: trained network from images [B, C, H, W] to any nest of tensors.
        recipe: a preset's name, a mapping such as {"preset": "burst", "neuron": {"gamma": 10}}, or
            a `Recipe`.
        calibration: images as the network expects them (normalised): one tensor [B, C, H, W], or an
            iterable of such batches, or of (images, labels) pairs.
        submodule: path of the part to convert, such as "backbone"; the whole network if None. The
            calibration images run through the whole network; the result maps what the part maps.

    Returns:
        Spiking network on the device of `ann`; its `report` says what became of every operation.

    Raises:
        RecipeError: the recipe names something unknown.
        SubmoduleError: there is no such submodule, or it does not take one tensor.
        CaptureError: torch.fx cannot trace the network.
        UnsupportedOperations: lists every operation that has no spiking counterpart.
        CalibrationError: no calibration images, or unusable activations; names the layer.
    """
    chosen = recipe_from(recipe)
    with torch.inference_mode(False), torch.no_grad():
        part = ann if submodule is None else find_submodule(ann, submodule)
        captured = capture(part, submodule or "")
        roles = sort_into_roles(captured)
        batches = _images(calibration, _device_of(ann))
        if submodule is not None:
            batches = inputs_of(ann, submodule, batches)
        statistics, shapes = _calibrate(captured, roles, batches)  # first: it names the layer of a NaN
        _check_same_function(part, captured, batches[0])
        _check_independence(captured, batches[0][:1])
        plan = Plan(captured, roles, chosen, shapes, last_uses(captured.graph))
        if isinstance(chosen.neuron, Quantiser):
            return QuantisedNetwork(plan, statistics, _report(plan, {}))
        thresholds = {
            role.name: _threshold(chosen, role, statistics[role.name], len(shapes[node]))
            for node, role in roles.items()
            if role.kind is Kind.NEURON
        }
        network = SpikingNetwork(plan, thresholds, _report(plan, thresholds))
        return network.train(False)


def _device_of(network: nn.Module) -> torch.device:
    tensors = [*network.parameters(), *network.buffers()]
    return tensors[0].device if tensors else torch.device("cpu")


def _images(calibration: Tensor | Iterable[Any], device: torch.device) -> list[Tensor]:
    found = [calibration] if isinstance(calibration, Tensor) else list(calibration)
    batches = [batch[0] if isinstance(batch, list | tuple) else batch for batch in found]
    batches = [batch.clone().to(device) for batch in batches if len(batch)]
    if not batches:
        raise CalibrationError(
            "no calibration images: pass a tensor [B, C, H, W] or batches of training images as `calibration`"
        )
    return batches


def _check_same_function(ann: nn.Module, captured: fx.GraphModule, images: Tensor) -> None:
    """The graph must compute what the network computes; guards against anything tracing missed."""
    with in_eval_mode(ann):
        expected = _outputs(ann(images[:2].clone()))
    found = _outputs(captured(images[:2].clone()))
    if len(expected) != len(found):
        raise ConversionError(
            f"the captured graph of {type(ann).__name__} has {len(found)} outputs, "
            f"the network has {len(expected)}"
        )
    for one, two in zip(expected, found, strict=True):
        largest = float(one.abs().max())
        difference = float((one - two).abs().max()) if one.shape == two.shape else float("inf")
        if not difference <= 1e-3 * max(largest, 1e-6):
            raise ConversionError(
                f"the captured graph of {type(ann).__name__} differs from the network by {difference:.3g} "
                f"(outputs up to {largest:.3g}); in-place operations on shared tensors or state that "
                "changes in eval mode can cause this"
            )


def _check_independence(captured: fx.GraphModule, image: Tensor) -> None:
    """What is said of one image must not depend on the others: time steps share their axis."""
    alone, paired = _outputs(captured(image.clone())), _outputs(captured(torch.cat([image, -image])))
    for one, two in zip(alone, paired, strict=True):
        first = two if one.shape == two.shape else two[: len(two) // 2]  # same shape: a constant
        tolerance = 1e-3 * max(float(one.abs().max()), 1e-6)
        if one.shape != first.shape or not torch.allclose(one, first, rtol=0, atol=tolerance):
            raise ConversionError(
                "the network's output for one image depends on the other images of its batch; keep them "
                "apart (no operation may mix, move or repeat the first axis)"
            )


def _outputs(nest: Any) -> list[Tensor]:
    found: list[Tensor] = []
    map_structure(found.append, Tensor, nest)
    return [tensor for tensor in found if tensor.ndim and tensor.numel()]


class _Observer(fx.Interpreter):
    """Runs the ANN's graph and shows every neuron's activation to its statistics."""

    def __init__(self, captured: fx.GraphModule, roles: Mapping[fx.Node, Role]) -> None:
        super().__init__(captured)
        neurons = {node: role for node, role in roles.items() if role.kind is Kind.NEURON}
        self.statistics = {role.name: ActivationStatistics(role.name) for role in neurons.values()}
        self.shapes: dict[fx.Node, torch.Size] = {}
        self._neurons = neurons

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if isinstance(value, Tensor):
            self.shapes[n] = value.shape
        if n in self._neurons:
            self.statistics[self._neurons[n].name].update(value)
        return value


def _calibrate(
    captured: fx.GraphModule, roles: Mapping[fx.Node, Role], batches: list[Tensor]
) -> tuple[dict[str, ActivationStatistics], dict[fx.Node, torch.Size]]:
    observer = _Observer(captured, roles)
    for images in batches:
        observer.run(images)
    return observer.statistics, observer.shapes


def _threshold(recipe: Recipe, role: Role, statistics: ActivationStatistics, ndim: int) -> Tensor:
    """Threshold of one neuron layer, [1, C, 1, ...] or [1, 1, ...].

    Where the rule gives 0, because so many activations are 0, the channel's largest activation takes
    its place, or the layer's, or 1 where nothing was ever active. A bounded activation keeps its
    bound: with at most gamma spikes a step, a threshold of bound / gamma saturates exactly there.
    """
    threshold = recipe.scale.thresholds(statistics)
    if not torch.isfinite(threshold).all():
        raise CalibrationError(f"layer '{role.name}': threshold is not finite")
    layer = statistics.maximum.max()
    largest = statistics.maximum if len(threshold) > 1 else layer[None]
    for fallback in (largest, layer, threshold.new_ones(())):
        threshold = torch.where(threshold > 0, threshold, fallback)
    if role.ceiling is not None:
        threshold = threshold.clamp(max=role.ceiling / recipe.neuron.max_per_step)
    return threshold.float().view(1, -1, *[1] * (ndim - 2))


def _report(plan: Plan, thresholds: Mapping[str, Tensor]) -> list[Entry]:
    recipe = plan.recipe
    entries = []
    for role in plan.roles.values():
        became = f"kept ({role.kind.value})"
        if role.kind is Kind.POOLING and not isinstance(recipe.neuron, Quantiser):
            became = f"{recipe.pooling.name} pooling"
        elif role.kind is Kind.NEURON:
            became = f"{recipe.neuron.name}"
            if role.name in thresholds:
                low, high = float(thresholds[role.name].min()), float(thresholds[role.name].max())
                became += f", threshold {low:.4g}" + (f" to {high:.4g}" if high > low else "")
        if role.kind is not Kind.SHAPE:
            entries.append(Entry(role.name, role.operation, became))
    return entries
