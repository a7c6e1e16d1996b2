"""Conversion as a callback: evaluate a spiking twin in the same test pass as its ANN.

    evaluation = SpikingEvaluation("spicalib", time_steps=(1, 2, 4, 8, 16, 32, 64))
    trainer = pl.Trainer(callbacks=[evaluation])
    trainer.test(module, datamodule=data)
    evaluation.result.curve  # metric, spikes and energy at every t

Each test batch goes through the ANN, then through the spiking network, whose read-outs update one
metric per time step. The module's weights are loaded by the time a test starts, so that is when it
is converted; torch's inference mode is left for the conversion, because some recipes need gradients.

Any module works that offers, like `ClassificationModule`: `network`, `new_metric()`, `ann_metric`,
`inputs_and_targets(batch)`, and a `test_step` that returns {"output": ...}.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

import energy
from conversion import Converted, Readout, convert
from conversion.compiled.fixed_point import Precision
from conversion.converted import DEFAULT_CHUNK, source_layers
from conversion.costs.activity import Active, ActiveInputs
from conversion.costs.energy import network_of
from conversion.costs.synapses import Connectivity
from conversion.network import effective_precision
from conversion.quantisation.quantised import QuantisedNetwork
from conversion.recipes import Recipe, recipe_from
from lightning_modules.metrics import TaskMetric

Calibration = Callable[[], Sequence[Tensor]]


@dataclass(frozen=True)
class CurvePoint:
    """Everything measured at one read-out; counts are averages per image."""

    t: int
    averaged: int
    t_total: float
    metrics: dict[str, float]
    spikes: dict[str, float]
    rates: dict[str, float]  # spikes per unit and step
    synops: dict[str, float]
    energy_pj: dict[str, float]  # energy model -> picojoules
    activation_bits: int | None = None  # of the quantised ANN
    active: dict[str, Active] | None = None  # of the quantised ANN: layer -> inputs that are not zero


@dataclass(frozen=True)
class EvaluationResult:
    """Outcome of one test pass: the ANN, and the spiking network at every read-out."""

    metric: str  # the metric that ranks
    ann: dict[str, float]
    ann_energy_pj: dict[str, float]
    ann_active: dict[str, Active]  # layer -> inputs of the ANN that are not zero; without what is no module
    curve: list[CurvePoint]
    wiring: Connectivity
    sources: list[tuple[str, str, int]]  # name, "neuron" or "pooling", units per image
    report: list[str]
    ann_outcomes: Any  # of every image, in test order, as the metric gives them
    outcomes: dict[int, Any]  # t -> the same of the spiking network
    seconds: dict[str, float]
    precision: str  # of the simulation


@dataclass
class _Totals:
    """Sums over the test set at one read-out."""

    averaged: int = 0
    steps: float = 0.0  # run for all images together
    images: int = 0
    spikes: dict[str, float] = field(default_factory=dict)
    synops: dict[str, float] = field(default_factory=dict)
    active: dict[str, Active] = field(default_factory=dict)

    def add(self, readout: Readout) -> None:
        self.averaged = readout.averaged
        self.steps += readout.t_total * readout.activity.images
        self.images += readout.activity.images
        for mine, batch in ((self.spikes, readout.activity.spikes), (self.synops, readout.activity.synops)):
            for name, count in batch.items():
                mine[name] = mine.get(name, 0.0) + count
        for name, found in readout.activity.active.items():
            before = self.active.get(name, Active(0.0, 0.0))
            self.active[name] = Active(before.macs + found.macs, before.inputs + found.inputs)


class SpikingEvaluation(pl.Callback):
    """Converts the module's network when a test starts and evaluates it on every test batch.

    Logs "snn/<metric>", "snn/spikes", "snn/synops" and "snn/energy_uj" (per image) at every t, with
    "time_step" beside them, to every logger of the trainer.

    Args:
        recipe: conversion method, as `conversion.convert` takes it.
        time_steps: when to read out.
        calibration: gives calibration batches; by default the trainer's data module does.
        chunk: time steps simulated at once.
        precision: of the simulation, as `simulate` takes it.
        on_readout: told t whenever a batch has reached that time step.
        memory_mib: budget of a simulation, see `Converted.memory_mib`.

    Attributes:
        network: the spiking network of the latest test.
        result: what the latest test measured; available after it.
    """

    def __init__(
        self,
        recipe: str | Mapping[str, Any] | Recipe,
        time_steps: Sequence[int],
        calibration: Calibration | None = None,
        chunk: int = DEFAULT_CHUNK,
        precision: Precision = "float32",
        on_readout: Callable[[int], None] | None = None,
        memory_mib: float | None = None,
    ) -> None:
        self.recipe = recipe_from(recipe)
        self.time_steps = tuple(sorted(set(time_steps)))
        self.network: Converted | None = None
        self._calibration = calibration
        self._chunk = chunk
        self._precision = precision
        self._on_readout = on_readout
        self._memory_mib = memory_mib
        self._result: EvaluationResult | None = None
        self._active: ActiveInputs | None = None

    @property
    def state_key(self) -> str:
        """Distinguishes several evaluations in one trainer."""
        return f"SpikingEvaluation[{self.recipe.label}]"

    @property
    def result(self) -> EvaluationResult:
        """What the latest test measured.

        Raises:
            RuntimeError: no test has finished.
        """
        if self._result is None:
            raise RuntimeError("no result yet: run trainer.test with this callback first")
        return self._result

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Convert; the weights are loaded and on their device now."""
        started = time.monotonic()
        self._result = None
        with torch.inference_mode(False):
            images = self._calibration_images(trainer)
            self.network = convert(
                pl_module.network,  # type: ignore[arg-type]
                self.recipe,
                images,
                memory_mib=self._memory_mib,
            )
        self._metrics: dict[int, TaskMetric] = {t: pl_module.new_metric() for t in self.time_steps}  # type: ignore[operator]
        self._totals = {t: _Totals() for t in self.time_steps}
        self._seconds = {"convert": time.monotonic() - started, "simulate": 0.0}
        self._wiring: Connectivity | None = None
        # After the conversion: its copy of the network shall not be counted, too.
        self._active = ActiveInputs(pl_module.network)  # type: ignore[arg-type]
        self._active.__enter__()

    def on_test_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any, **kwargs: Any
    ) -> None:
        """A pass of the ANN begins."""
        assert self._active is not None
        self._active.begin()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Stop counting in the ANN, also after an error."""
        if self._active is not None:
            self._active.__exit__()

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Simulate the batch that the ANN has just seen."""
        assert self.network is not None
        started = time.monotonic()
        images, targets = pl_module.inputs_and_targets(batch)  # type: ignore[operator]
        self._wiring = self._wiring or self.network.connectivity(images)
        self._used = effective_precision(images, self._precision)
        for readout in self.network.simulate(images, self.time_steps, self._chunk, self._precision):
            self._metrics[readout.t].update(readout.output, targets, outputs["output"])
            self._totals[readout.t].add(readout)
            if self._on_readout is not None:
                self._on_readout(readout.t)
        self._seconds["simulate"] += time.monotonic() - started

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Compute every metric, log the curve, keep the result."""
        if self._wiring is None:
            raise RuntimeError("the test set has no images")
        network, wiring = self.network, self._wiring
        assert network is not None
        assert self._active is not None
        images = _over_ranks(trainer, float(self._totals[self.time_steps[0]].images))
        active = _of_one_image(trainer, self._active.counts(), images)
        counts = network_of(wiring, active)
        curve = [self._point(trainer, t, wiring, counts) for t in self.time_steps]
        ann_metric: TaskMetric = pl_module.ann_metric  # type: ignore[assignment]
        kinds = {name: kind.value for name, kind in source_layers(network)}
        spiking = self.recipe.neuron.max_per_step > 0
        self._result = EvaluationResult(
            metric=ann_metric.primary,
            ann=ann_metric.compute(),
            ann_energy_pj=energy.ann_energies(counts),
            ann_active=active,
            curve=curve,
            wiring=wiring,
            sources=[(name, kinds[name], units) for name, units in wiring.units.items() if spiking],
            report=[str(entry) for entry in network.report],
            ann_outcomes=ann_metric.outcomes(),
            outcomes={t: metric.outcomes() for t, metric in self._metrics.items()},
            seconds=dict(self._seconds),
            precision=self._used,
        )
        self._log(trainer, pl_module, curve)

    def _calibration_images(self, trainer: pl.Trainer) -> Sequence[Tensor]:
        if self._calibration is not None:
            return self._calibration()
        data = getattr(trainer, "datamodule", None)
        if data is None or not hasattr(data, "calibration_batches"):
            raise ValueError("no calibration images: test with a data module, or pass `calibration`")
        images: Sequence[Tensor] = data.calibration_batches()
        return images

    def _point(self, trainer: pl.Trainer, t: int, wiring: Connectivity, counts: energy.Network) -> CurvePoint:
        totals = self._totals[t]
        images = _over_ranks(trainer, float(totals.images))
        t_total = _over_ranks(trainer, totals.steps) / images
        spikes = {name: _over_ranks(trainer, n) / images for name, n in totals.spikes.items()}
        synops = {name: _over_ranks(trainer, n) / images for name, n in totals.synops.items()}
        neuron, bits, active = self.recipe.neuron, None, None
        run: energy.Run | energy.Quantised = energy.Run(
            spikes, synops, t_total, neuron.alphabet, neuron.max_per_step
        )
        if neuron.alphabet == "none":
            quantised = self.network
            assert isinstance(quantised, QuantisedNetwork)
            bits, active = quantised.activation_bits(t), _of_one_image(trainer, totals.active, images)
            run = _quantised(bits, active)
        return CurvePoint(
            t=t,
            averaged=totals.averaged,
            t_total=int(t_total) if t_total.is_integer() else t_total,
            metrics=self._metrics[t].compute(),
            spikes=spikes,
            rates={name: n / (wiring.units[name] * t_total) for name, n in spikes.items()},
            synops=synops,
            energy_pj=energy.energies(counts, run),
            activation_bits=bits,
            active=active,
        )

    def _log(self, trainer: pl.Trainer, pl_module: pl.LightningModule, curve: list[CurvePoint]) -> None:
        for point in curve:
            row = {f"snn/{name}": value for name, value in point.metrics.items()}
            row |= {
                "snn/spikes": sum(point.spikes.values()),
                "snn/synops": sum(point.synops.values()),
                "snn/energy_uj": point.energy_pj[energy.REFERENCE] * 1e-6,
            }
            for logger in trainer.loggers:
                logger.log_metrics({**row, "time_step": point.t}, step=point.t)
        last = curve[-1]
        finals = {f"snn/{name}": value for name, value in last.metrics.items()}
        pl_module.log_dict(finals, logger=False)


def _quantised(bits: int, active: Mapping[str, Active]) -> energy.Quantised:
    macs = {name: each.macs for name, each in active.items()}
    return energy.Quantised(bits, macs, {name: each.inputs for name, each in active.items()})


def _of_one_image(trainer: pl.Trainer, counts: Mapping[str, Active], images: float) -> dict[str, Active]:
    return {
        name: Active(_over_ranks(trainer, each.macs) / images, _over_ranks(trainer, each.inputs) / images)
        for name, each in counts.items()
    }


def _over_ranks(trainer: pl.Trainer, value: float) -> float:
    """Sum over processes; a distributed sampler's repeated images count twice, above and below."""
    if trainer.world_size == 1:
        return value
    total = trainer.strategy.reduce(torch.tensor(value, dtype=torch.float64), reduce_op="sum")
    return float(total)
