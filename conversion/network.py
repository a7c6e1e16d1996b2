"""The spiking network: its fitted layers, and what a user does with them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from conversion.converted import Converted
from conversion.errors import ConversionError
from conversion.graph.plain import note, noted
from conversion.nir.export import export
from conversion.outputs import Readout
from conversion.plan.fitted import Fitted
from conversion.plan.layer import SpikingLayer
from conversion.plan.plan import Plan
from conversion.plan.window import FROM_START, Window
from conversion.simulation.backend import Precision
from conversion.simulation.probe import Probe
from conversion.simulation.run import Simulation, SimulationCache
from conversion.tensors import EXTRA


class SpikingNetwork(Converted):
    """A network whose activations are spike trains.

    Args:
        plan: captured graph with the role of every operation.
        layers: fitted neuron layers by name.
        window: which steps each read-out averages.
    """

    def __init__(self, plan: Plan, layers: Mapping[str, SpikingLayer], window: Window = FROM_START) -> None:
        super().__init__(plan)
        self.window = window
        self._neurons = {name: layer.neuron for name, layer in layers.items()}
        self._cache = self._new_cache()
        for index, layer in enumerate(layers.values()):
            self.register_buffer(f"threshold_{index}", layer.threshold, persistent=True)
            self.register_buffer(f"initial_{index}", layer.initial, persistent=True)
            self.register_buffer(f"offset_{index}", layer.offset, persistent=True)

    @property
    def layers(self) -> dict[str, SpikingLayer]:
        """Fitted neuron layers by name, in the order of computation."""
        ceilings = {role.name: role.ceiling for role in self.plan.roles.values()}
        return {
            name: SpikingLayer(
                neuron,
                self.get_buffer(f"threshold_{index}"),
                self.get_buffer(f"initial_{index}"),
                getattr(self, f"offset_{index}"),
                ceilings[name],
            )
            for index, (name, neuron) in enumerate(self._neurons.items())
        }

    @property
    def thresholds(self) -> dict[str, Tensor]:
        """Threshold of each neuron layer, broadcastable to its activations [B, C, ...]."""
        return {name: layer.threshold for name, layer in self.layers.items()}

    def _reported(self) -> Mapping[str, SpikingLayer]:
        return self.layers

    def _new_cache(self) -> SimulationCache:
        return SimulationCache(Probe(self.plan, self._neurons))

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        del state["_cache"]  # packed weights and schedules are found again
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._cache = self._new_cache()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        self._cache.prepared.clear()
        super()._apply(fn, recurse)
        return self

    def get_extra_state(self) -> Tensor:
        """What was fitted and is no tensor, for the state dict: neurons and window."""
        return note({"recipe": self.recipe.parts(), "neurons": self._neurons, "window": self.window})

    def set_extra_state(self, state: Tensor) -> None:
        """Take over what `get_extra_state` of another network of the same recipe gave.

        Raises:
            ValueError: it comes from another recipe or another network.
        """
        found = noted(state)
        if found.get("recipe") != self.recipe.parts():
            raise ValueError(f"the state is of another recipe than '{self.recipe.label}'")
        if list(found["neurons"]) != list(self._neurons):
            raise ValueError("the state is of a network with other neuron layers")
        self._neurons, self.window = found["neurons"], found["window"]
        self._cache = self._new_cache()

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any) -> None:
        """Take over fitted tensors, of whatever shape: neuron by neuron, by channel, by layer."""
        if prefix + EXTRA in state_dict:
            self.set_extra_state(state_dict[prefix + EXTRA])  # first: it refuses before anything is changed
        for index in range(len(self._neurons)):
            like = self.get_buffer(f"threshold_{index}")
            for name in (f"threshold_{index}", f"initial_{index}", f"offset_{index}"):
                given, mine = state_dict.get(prefix + name), getattr(self, name)
                if given is None:
                    setattr(self, name, None if name.startswith("offset") else mine)
                elif mine is None or mine.shape != given.shape:
                    kind = torch.promote_types(given.dtype, like.dtype)
                    setattr(self, name, torch.empty(given.shape, dtype=kind, device=like.device))
        super()._load_from_state_dict(state_dict, prefix, *args)

    def to_nir(self, path: str | Path | None = None, accept_reset_to_value: bool = False) -> Any:
        """NIR graph of this network, written to `path` if given; see `conversion.nir.export`."""
        return export(self.plan, self.layers, path, accept_reset_to_value)

    @property
    def fitted(self) -> Fitted:
        """The plan with its layers as they are now."""
        return Fitted(self.plan, self.layers)

    def _readouts(
        self, images: Tensor, steps: list[int], chunk: int, precision: Precision
    ) -> Generator[Readout, None, None]:
        self._check_size(images)
        fitted = [tensor for _, tensor in self.named_buffers(recurse=False)]
        run = Simulation.of(
            images,
            precision,
            fitted=self.fitted,
            wiring=self.connectivity(images),
            window=self.window,
            chunk=chunk,
            memory_mib=self.memory_mib,
            cache=self._cache,
            weights=[*self.captured.parameters(), *self.captured.buffers(), *fitted],
        )
        yield from run.readouts(images, steps)

    def _check_size(self, images: Tensor) -> None:
        """Potentials of single neurons, unlike those of channels, fit images of one size."""
        (image,) = (node for node in self.plan.captured.graph.nodes if node.op == "placeholder")
        fitted = self.plan.shapes[image][1:]
        if images.shape[1:] == fitted:
            return
        for name, layer in self.layers.items():
            if layer.initial[0, :1].numel() > 1:
                raise ConversionError(
                    f"layer '{name}': initial potentials were fitted neuron by neuron for images of size "
                    f"{tuple(fitted)}, got {tuple(images.shape[1:])}; fit them by channel, with "
                    "{correction: {name: layerwise, per_channel: true}}"
                )
