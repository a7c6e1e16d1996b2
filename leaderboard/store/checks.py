"""What a record must satisfy beyond its types, so that no later step can trip over it.

The schema says what a field is; these checks say what fields mean together. They run when a record
is written and when it is read, so rankings may rely on them.
"""

from __future__ import annotations

import math

from leaderboard.records.fields import SMALLEST, impossible_metric, not_plain
from leaderboard.records.record import Ann, Outcomes, Point, Record, content_hash
from leaderboard.statistics.figures import output_steps

ENERGY_TOLERANCE = 1e-6  # relative; sums of floats in another order
OUTCOME_TOLERANCE = 1e-5  # a metric may be a float32 mean; half an image in 50,000 is 1e-5


def inconsistency(record: Record) -> str | None:
    """First contradiction inside a record.

    Returns:
        One line naming the field, or None when the record is sound.
    """
    if record.metric not in record.ann.metrics:
        return f"ann.metrics lacks the ranking metric {record.metric!r}"
    if reason := _configuration(record) or _impossible(record, "ann", record.ann):
        return reason
    times = [point.t for point in record.curve]
    if len(set(times)) != len(times):
        return f"curve has the same t twice: {times}"
    for layer in record.layers:
        if tiny := [f for f, n in vars(layer).items() if isinstance(n, float) and 0 < n < SMALLEST]:
            return f"layer {layer.name} has {tiny[0]} above 0 and below {SMALLEST:g}"
        for name, active, dense in (
            ("active_macs", layer.active_macs, layer.macs),
            ("active_inputs", layer.active_inputs, layer.inputs),
        ):
            if active is not None and dense is not None and active > dense * (1 + ENERGY_TOLERANCE):
                return f"layer {layer.name} has {name}={active:.6g}, more than there are ({dense:.6g})"
    for function in record.functions or ():
        if tiny := [f for f, n in vars(function).items() if isinstance(n, float) and 0 < n < SMALLEST]:
            return f"function {function.name} has {tiny[0]} above 0 and below {SMALLEST:g}"
    sources = {source.name for source in record.sources}
    if len(sources) < len(record.sources):
        return "sources names a layer twice"
    layers = {layer.name for layer in record.layers}
    for layer in record.layers if sources else ():  # what does not spike has no sources
        if unknown := sorted(set(layer.sources or ()) - sources):
            return f"layer {layer.name} has sources that are none: {unknown}"
    for point in record.curve:
        if record.metric not in point.metrics:
            return f"curve at t={point.t} lacks the ranking metric {record.metric!r}"
        averaged = output_steps(point)
        if averaged > point.t:
            return f"curve at t={point.t} averages {averaged} output steps, more than t"
        if point.t_total < averaged and not _exits_early(record):
            return f"curve at t={point.t} has t_total={point.t_total}, fewer steps than it averages"
        reason = _impossible(record, f"curve at t={point.t}:", point) or _strangers(point, sources, layers)
        if reason is None and record.functions is not None:
            evaluated = {function.name for function in record.functions if function.values}
            if unknown := sorted((point.functions or {}).keys() - evaluated):
                reason = f"curve at t={point.t} has functions that the record has no values of: {unknown}"
        if reason is not None:
            return reason
        for model, by_layer in (point.energy_layers_pj or {}).items():
            total, parts = point.energy_pj.get(model), math.fsum(by_layer.values())
            if total is None or not math.isclose(total, parts, rel_tol=ENERGY_TOLERANCE):
                return f"curve at t={point.t}: {model} energies of layers add up to {parts:.6g}, not {total}"
    if record.outcomes is not None:
        return _outcome_inconsistency(record, record.outcomes)
    return None


def _configuration(record: Record) -> str | None:
    """What is wrong with the plain data of a record, which its hash names."""
    if reason := not_plain(record.method.parts):
        return f"method.parts {reason}"
    if reason := not_plain(record.config):
        return f"config {reason}"
    try:
        named = content_hash(record.config) == record.cell_id
    except (TypeError, ValueError, RecursionError) as error:
        return f"config is no JSON: {error}"
    ann = record.config.get("ann")
    given = ann.get("checkpoint_sha256") if isinstance(ann, dict) else None
    if given not in (None, record.ann.checkpoint_sha256):
        return "ann.checkpoint_sha256 is not that of the checkpoint in config"
    if not named:
        return f"config is not the one that cell_id {record.cell_id} is the hash of"
    return _other_cell(record)


def _other_cell(record: Record) -> str | None:
    """What a record says of its cell otherwise than its configuration, which may be older and say less."""
    config, recipe, method = record.config, record.config.get("recipe"), record.method
    stated: list[tuple[str, object, object]] = [
        ("seed", record.seed, config.get("seed", record.seed)),
        ("task", record.task, config.get("task", record.task)),
    ]
    if isinstance(recipe, dict):
        stated.append(("method.name", method.name, recipe.get("name")))
    for name, said, configured in stated:
        if said != configured:
            return f"{name} is {said!r}, and {configured!r} in config"
    if isinstance(recipe, dict) and {**method.parts, "name": method.name} != recipe:
        return "method.parts are not those of the recipe in config"
    steps = config.get("time_steps")
    if isinstance(steps, list) and (stray := [point.t for point in record.curve if point.t not in steps]):
        return f"curve has t={stray[0]}, which is none of config.time_steps"
    return None


def _impossible(record: Record, where: str, measured: Ann | Point) -> str | None:
    """A figure that nothing can have: the fields themselves are bounded, these depend on names."""
    for name, value in measured.metrics.items():
        if reason := impossible_metric(name, value, ranks=name == record.metric):
            return f"{where} metrics.{name} {reason}"
    for field, value in vars(measured).items():
        for name, number in value.items() if isinstance(value, dict) and field != "metrics" else ():
            if isinstance(number, float) and 0 < number < SMALLEST:
                return f"{where} {field}.{name} {number:.6g} should be 0 or at least {SMALLEST:g}"
    return None


def _strangers(point: Point, sources: set[str], layers: set[str]) -> str | None:
    """Counts of layers that the record does not know."""
    senders = [("rates", sources, "source"), ("spikes", sources, "source")]
    weighted = ("synops", "active_macs", "active_inputs")
    receivers = [(field, layers, "layer with weights") for field in weighted]
    for field, known, what in (*senders, *receivers):
        if unknown := sorted((getattr(point, field) or {}).keys() - known):
            return f"curve at t={point.t} has {field} of layers that are no {what}: {unknown}"
    if sources and not point.spikes and any(point.synops.values()):
        return f"curve at t={point.t} has synops and no spikes that they could come from"
    return None


def _exits_early(record: Record) -> bool:
    """Whether images may be read out for good before t, so that fewer steps run than are asked for."""
    rule = record.method.parts.get("exit")
    return isinstance(rule, dict) and rule.get("name") not in (None, "none")


def _outcome_inconsistency(record: Record, outcomes: Outcomes) -> str | None:
    measured = {point.t: point.metrics for point in record.curve}
    stray = sorted(set(outcomes.at) - set(measured))
    if stray:
        return f"outcomes.at has t={stray[0]}, which the curve did not measure"
    if outcomes.count < 1:
        return f"outcomes.count must be at least 1, got {outcomes.count}"
    encoded = [("outcomes.ann", outcomes.ann, record.ann.metrics)]
    encoded += [(f"outcomes.at[{t}]", text, measured[t]) for t, text in outcomes.at.items()]
    for name, text, metrics in encoded:
        try:
            mean = outcomes.metric_of(text)
        except (ValueError, TypeError, LookupError, ArithmeticError) as error:  # a plug-in's may raise more
            return f"{name}: {error}"
        stated = metrics.get(outcomes.measure)
        if stated is None:
            return f"{name} measures {outcomes.measure!r}, which has no stated value there"
        if abs(mean - stated) > OUTCOME_TOLERANCE:
            return f"{name} average to {mean:.6f}, but {outcomes.measure} is stated as {stated:.6f}"
    return None
