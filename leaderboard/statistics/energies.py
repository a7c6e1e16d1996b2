"""Energies computed from a record's counts: models that are younger than the record, and parts of layers.

Figures that a record states stay as they are. A model that needs counts the record lacks has no figure.
"""

from __future__ import annotations

from collections.abc import Iterable

import energy
from energy import Breakdown, EnergyModel, NotMeasured, UnknownModelError
from energy.counts import levels_of
from leaderboard.records.record import Point, Record

NO_SPIKES = "none"  # alphabet of the quantised ANN
MOST_LEVELS = 255  # of the quantised ANN, where its record does not say


def network_of(record: Record) -> energy.Network:
    """Counts of a record that do not depend on time."""
    layers = tuple(
        energy.Layer(**{**vars(layer), "sources": None if layer.sources is None else tuple(layer.sources)})
        for layer in record.layers
    )
    functions = None
    if record.functions is not None:
        functions = {f.name: energy.Function(f.operation, f.values, f.inputs) for f in record.functions}
    return energy.Network(layers, {source.name: source.units for source in record.sources}, functions)


def run_of(record: Record, point: Point) -> energy.Run | energy.Quantised:
    """Counts of a record at one read-out.

    Raises:
        NotMeasured: spikes of single layers were dropped while the record was loaded.
    """
    method = record.method
    if method.alphabet == NO_SPIKES:
        bits = bits_of(record, point)
        return energy.Quantised(bits, point.active_macs, point.active_inputs)
    if not point.spikes and any(point.synops.values()):
        raise NotMeasured(f"spikes of cell {record.cell_id} were not loaded")
    return energy.Run(
        point.spikes, point.synops, point.t_total, method.alphabet, method.max_per_step, point.functions or {}
    )


def bits_of(record: Record, point: Point) -> int:
    """Activation bits of the quantised ANN of a record, or of one that says as much as its spikes."""
    method = record.method
    if method.alphabet != NO_SPIKES:
        averaged = point.t if point.averaged is None else point.averaged
        return energy.matched_bits(levels_of(method.alphabet, method.max_per_step, averaged))
    if point.activation_bits is not None:
        return point.activation_bits
    neuron = method.parts.get("neuron")
    stated = neuron.get("max_levels") if isinstance(neuron, dict) else None
    levels = stated if isinstance(stated, int) and stated > 0 else MOST_LEVELS
    return energy.matched_bits(min(point.t, levels))


def completed(record: Record, among: Iterable[EnergyModel] | None = None) -> Record:
    """Give a record that nobody else has seen yet the energies of models that it has no figures of.

    In place, as records are frozen and copies cost more.

    Args:
        record: its counts of layers must not have been dropped.
        among: the models; by default all that are registered.
    """
    wanted = list(energy.models().values() if among is None else among)
    stated = set(record.ann.energy_pj).intersection(*(point.energy_pj for point in record.curve))
    missing = [model for model in wanted if model.name not in stated]
    if not missing:
        return record
    network = network_of(record)
    vars(record.ann)["energy_pj"] = energy.ann_energies(network, missing) | record.ann.energy_pj
    for point in record.curve:
        found = energy.energies(network, run_of(record, point), missing)
        vars(point)["energy_pj"] = found | point.energy_pj
    return record


def layer_energies(
    record: Record, point: Point, model: str, network: energy.Network | None = None
) -> dict[str, float] | None:
    """Layer -> picojoules an image: as the record states it, or else from its counts.

    Args:
        record: the record.
        point: one of its read-outs.
        model: name of an energy model.
        network: `network_of` the record, where it is known already.

    Returns:
        None where neither has it.
    """
    if point.energy_layers_pj and model in point.energy_layers_pj:
        return point.energy_layers_pj[model]
    try:
        parts = parts_of(record, point, model, network)
    except (NotMeasured, UnknownModelError):  # of a record by a SpikeMark that had more models
        return None
    return {name: part.total for name, part in parts.items()}


def parts_of(
    record: Record, point: Point, model: str, network: energy.Network | None = None
) -> dict[str, Breakdown]:
    """Layer -> where its energy goes; arguments as for `layer_energies`.

    Raises:
        NotMeasured: the record lacks a count that the model needs.
        UnknownModelError: there is no such model.
    """
    return energy.breakdown(
        energy.by_name(model), network_of(record) if network is None else network, run_of(record, point)
    )
