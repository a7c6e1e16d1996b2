"""Convert a trained network: capture, sort, calibrate, set thresholds."""

from __future__ import annotations

import copy
import dataclasses
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
from torch import Tensor, fx, nn

from conversion.converted import Converted, checked_time_steps
from conversion.errors import CalibrationError, ConversionError
from conversion.exits.network import EarlyExit
from conversion.exits.rules import EntropyExit
from conversion.fit import PerLength, fit
from conversion.fitting.facts import Calibration
from conversion.fitting.kept import KeptCalibration
from conversion.fitting.statistics import ActivationStatistics
from conversion.graph.capture import capture
from conversion.graph.nodes import last_uses
from conversion.graph.operations import Kind
from conversion.graph.pool_order import pools_first
from conversion.graph.roles import Role, sort_into_roles
from conversion.graph.submodules import find_submodule, in_eval_mode, inputs_of
from conversion.inputs import batches_of, checked_budget, takes
from conversion.neurons.quantiser import Quantiser
from conversion.plan.plan import Plan
from conversion.quantised import QuantisedNetwork
from conversion.recipes import Recipe, check_combination, check_signs, recipe_from
from conversion.signals.signals import map_structure
from conversion.tensors import fingerprint
from conversion.trained import trained_network
from conversion.trial import check_takes, takes_one_argument


def convert(
    ann: nn.Module,
    recipe: str | Mapping[str, Any] | Recipe = "spicalib",
    calibration: Any = (),
    submodule: str | None = None,
    memory_mib: float | None = None,
    time_steps: int | Iterable[int] | None = None,
) -> Converted:
    """Convert a trained network into a spiking one; the network itself is left untouched.

    Args:
        ann: trained network from images [B, C, H, W] to any nest of tensors. Wrappers of torch.compile and
            of distributed training come off; a network in half precision is converted in float32.
        recipe: a preset's name, a mapping such as {"preset": "burst", "neuron": {"gamma": 10}}, or
            a `Recipe`.
        calibration: images as the network expects them (normalised floats of any precision): a tensor or
            array [B, C, H, W], or an iterable of such batches, of pairs (images, labels), or of
            dictionaries with images, as a DataLoader gives them (`conversion.inputs.IMAGE_KEYS` has the
            usual names). All of them are kept in memory; some hundred images are enough.
        submodule: path of the part to convert, such as "backbone"; the whole network if None. The
            calibration images run through the whole network; the result maps what the part maps.
        memory_mib: budget of simulations; see `Converted.memory_mib`.
        time_steps: read-outs to fit the network for, one number or several. Only recipes that must know T,
            or how long an image may run, ask for it; without it they are fitted when they are read out.

    Returns:
        Spiking network on the device of `ann`; its `report` says what became of every operation, and
        `save` keeps it.

    Raises:
        RecipeError: the recipe names something unknown, or its parts do not work with this network.
        SubmoduleError: there is no such submodule, or it does not take one tensor.
        CaptureError: torch.fx cannot trace the network.
        UnsupportedOperations: lists every operation that has no spiking counterpart.
        CalibrationError: no calibration images, images that the network does not take, or unusable
            activations; names the batch or the layer.
        ConversionError: the network is converted already, has no weights yet, or cannot be copied.
        TypeError: `ann` is no module.
        ValueError: the budget is no positive number, or a time step no positive whole one.
    """
    chosen = recipe_from(recipe)
    memory_mib = checked_budget(memory_mib)
    steps = None if time_steps is None else chosen.checked(checked_time_steps(time_steps))
    network = prepare(ann, calibration, submodule, chosen).convert(chosen)
    network.memory_mib = memory_mib
    return network if steps is None else network.fit_for(steps)


@dataclass(frozen=True)
class PreparedNetwork:
    """A captured network and its activations on the calibration images: all that no recipe changes.

    Converting one network with many recipes runs its calibration images once.
    """

    captured: fx.GraphModule
    roles: dict[fx.Node, Role]
    shapes: dict[fx.Node, torch.Size]  # per node, on one calibration batch
    batches: list[Tensor]  # calibration images
    statistics: dict[str, ActivationStatistics]  # per neuron layer

    def plan(self, recipe: str | Mapping[str, Any] | Recipe) -> Plan:
        """Plan of a recipe, on the captured graph itself.

        Raises:
            RecipeError: the recipe names something unknown, or its parts do not work with this network.
        """
        chosen = recipe_from(recipe)
        check_combination(chosen, self.roles)
        check_signs(chosen, self.roles, {name for name, one in self.statistics.items() if one.lowest < 0})
        if chosen.pooling.takes_currents and self.pooling_first is not None:
            return self.pooling_first.plan(chosen)
        return Plan(self.captured, self.roles, chosen, self.shapes, last_uses(self.captured.graph))

    @cached_property
    def pooling_first(self) -> PreparedNetwork | None:
        """The same network with max pooling before neurons where that is possible; None: nowhere."""
        captured = copy.deepcopy(self.captured)
        if not pools_first(captured, self.batches[0]):
            return None
        roles = sort_into_roles(captured, self.batches[0])
        statistics, shapes = _calibrate(captured, roles, self.batches)
        return PreparedNetwork(captured, roles, shapes, self.batches, statistics)

    def convert(
        self, recipe: str | Mapping[str, Any] | Recipe, time_steps: int | Iterable[int] | None = None
    ) -> Converted:
        """Spiking network of one recipe; arguments, errors and result are those of `convert`.

        Networks converted from here share the graph and its weights, unless their recipe changes weights.
        """
        network = self._converted(recipe)
        return network if time_steps is None else network.fit_for(time_steps)

    def _converted(self, recipe: str | Mapping[str, Any] | Recipe) -> Converted:
        with torch.inference_mode(False), torch.no_grad():
            chosen = recipe_from(recipe)
            plan = self.plan(chosen)
            if plan.captured is not self.captured and self.pooling_first is not None:
                return self.pooling_first._converted(chosen)
            if isinstance(chosen.neuron, Quantiser):
                network: Converted = QuantisedNetwork(copy.deepcopy(plan), self.statistics)
            else:
                network = self._spiking(chosen, plan)
            if isinstance(chosen.exit, EntropyExit):
                network = EarlyExit(network, chosen.exit, self.captured, self.batches)
            network.provenance = {**self.provenance, "recipe": chosen.label}
            return network.train(False)

    def _spiking(self, recipe: Recipe, plan: Plan) -> Converted:
        if recipe.needs_time_steps:
            return PerLength(plan, recipe, KeptCalibration(self.batches, self.statistics))
        return fit(recipe, Calibration(plan, self.batches, self.statistics, None, recipe.scale))

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """Where networks converted from here come from; see `Converted.provenance`."""
        return {
            "spikemark": _project_version(),
            "torch": str(torch.__version__),
            "calibration": fingerprint(self.batches),
            "images": sum(map(len, self.batches)),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
        }


def prepare(
    ann: nn.Module,
    calibration: Any,
    submodule: str | None = None,
    recipe: str | Mapping[str, Any] | Recipe | None = None,
) -> PreparedNetwork:
    """Capture a trained network, check it and observe its activations; arguments as for `convert`.

    Args:
        ann: trained network; left untouched.
        calibration: images as the network expects them.
        submodule: path of the part to convert; the whole network if None.
        recipe: is refused before any image is run, if it does not fit the network.

    Raises:
        ConversionError: the network cannot be converted, whatever the recipe; see `convert`.
        CalibrationError: activations or outputs on these images are not finite; names what is not.
    """
    with torch.inference_mode(False), torch.no_grad():
        ann, submodule = trained_network(ann, submodule)
        part = ann if submodule is None else find_submodule(ann, submodule)
        batches = _images(calibration, ann, submodule)
        if submodule is not None:
            batches = inputs_of(ann, submodule, batches)
        captured = capture(part, submodule or "", batches[0])
        roles = sort_into_roles(captured, batches[0])
        if recipe is not None:
            check_combination(recipe_from(recipe), roles)
        statistics, shapes = _calibrate(captured, roles, batches)  # first: it names the layer of a NaN
        _check_same_function(part, captured, batches[0])
        return PreparedNetwork(captured, roles, shapes, batches, statistics)


def _project_version() -> str:
    try:
        return version("spikemark")
    except PackageNotFoundError:  # run from a folder of source code
        return "unknown"


def _images(calibration: Any, ann: nn.Module, submodule: str | None) -> list[Tensor]:
    if submodule is None and not takes_one_argument(ann):
        return batches_of(calibration, takes(ann))  # capture names the other arguments
    sizes: set[torch.Size] = set()
    return batches_of(calibration, takes(ann), lambda images, name: check_takes(ann, images, name, sizes))


def _check_same_function(ann: nn.Module, captured: fx.GraphModule, images: Tensor) -> None:
    """The graph must compute what the network computes; this finds whatever tracing missed."""
    with in_eval_mode(ann):
        expected = _outputs(ann(images[:2].clone()))
    found = _outputs(captured(images[:2].clone()))
    if len(expected) != len(found):
        raise ConversionError(
            f"the captured graph of {type(ann).__name__} has {len(found)} outputs, "
            f"the network has {len(expected)}"
        )
    for one, two in zip(expected, found, strict=True):
        if not one.isfinite().all():
            raise CalibrationError(_not_finite(ann))
        largest = float(one.abs().max())
        difference = float((one - two).abs().max()) if one.shape == two.shape else float("inf")
        if not difference <= 1e-3 * max(largest, 1e-6):
            raise ConversionError(
                f"the captured graph of {type(ann).__name__} differs from the network by {difference:.3g} "
                f"(outputs up to {largest:.3g}); in-place operations on shared tensors or state that "
                "changes in eval mode can cause this"
            )


def _not_finite(ann: nn.Module) -> str:
    """What to say of a network that answers with NaN or infinite values."""
    found = [name for name, weights in ann.named_parameters() if not weights.isfinite().all()]
    found += [name for name, values in ann.named_buffers() if values.isnan().any()]  # masks are infinite
    why = f"so has {found[0]!r}" if found else "its weights have none, so sums are beyond the largest number"
    more = f" and {len(found) - 1} more of its tensors" if len(found) > 1 else ""
    return (
        f"the outputs of {type(ann).__name__} on the calibration images have NaN or infinite values, and "
        f"{why}{more}; check the checkpoint and the normalisation of the images"
    )


def _outputs(nest: Any) -> list[Tensor]:
    found: list[Tensor] = []
    map_structure(found.append, Tensor, _opened(nest))
    return [tensor for tensor in found if tensor.ndim and tensor.numel()]


def _opened(nest: Any) -> Any:
    """Outputs with dictionaries in place of dataclasses, as the graph gives them."""
    if dataclasses.is_dataclass(nest) and not isinstance(nest, type | dict):
        return {field.name: _opened(getattr(nest, field.name)) for field in dataclasses.fields(nest)}
    if isinstance(nest, list | tuple) and not hasattr(nest, "_fields"):
        return [_opened(entry) for entry in nest]
    return nest


class _CalibrationRun(fx.Interpreter):
    """Runs the ANN's graph and shows every neuron's activation to its statistics."""

    def __init__(self, captured: fx.GraphModule, roles: Mapping[fx.Node, Role]) -> None:
        super().__init__(captured)
        neurons = {node: role for node, role in roles.items() if role.kind is Kind.NEURON}
        self.statistics = {role.name: ActivationStatistics(role.name) for role in neurons.values()}
        self.shapes: dict[fx.Node, torch.Size] = {}
        self._neurons = neurons
        self._first: dict[str, Tensor] = {}  # activations of the first image
        self._seen = 0  # images
        self._varying: set[str] = set()

    def show(self, images: Tensor) -> None:
        """Run a batch of calibration images."""
        self._seen += len(images)
        self.run(images)

    def _by_channel(self, node: fx.Node, value: Tensor) -> tuple[Tensor, Tensor]:
        """Activation and input of a layer of neurons, [B, C, ...]."""
        axis = self._neurons[node].axis
        return value.movedim(axis, 1), self.env[node.all_input_nodes[0]].movedim(axis, 1)

    @property
    def dead(self) -> list[str]:
        """Layers whose neurons answered the same to every image, where there were several."""
        return [name for name in self.statistics if name not in self._varying and self._seen > 1]

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if isinstance(value, Tensor):
            self.shapes[n] = value.shape
        if n in self._neurons:
            name = self._neurons[n].name
            self.statistics[name].update(*self._by_channel(n, value))
            if name not in self._varying:
                first = self._first.setdefault(name, value[:1].clone())
                if first.shape[1:] != value.shape[1:] or bool((value != first).any()):
                    self._varying.add(name)
                    del self._first[name]
        return value


def _calibrate(
    captured: fx.GraphModule, roles: Mapping[fx.Node, Role], batches: list[Tensor]
) -> tuple[dict[str, ActivationStatistics], dict[fx.Node, torch.Size]]:
    observer = _CalibrationRun(captured, roles)
    for images in batches:
        observer.show(images)
    if observer.dead:
        warnings.warn(
            "these layers answer the same to every calibration image, so nothing passes through them: "
            f"{', '.join(observer.dead)}; check the checkpoint and the calibration images",
            UserWarning,
            stacklevel=2,
        )
    return observer.statistics, observer.shapes
