"""Conversion as a callback: evaluate a spiking twin in the same test pass as its ANN.

    evaluation = SpikingEvaluation("spicalib", time_steps=(1, 2, 4, 8, 16, 32, 64), calibration=batches)
    trainer = pl.Trainer(callbacks=[evaluation])
    trainer.test(module, dataloaders=loader)
    evaluation.result.curve  # metric, spikes and energy at every t

Each test batch goes through the ANN, then through the spiking network, whose read-outs update one
metric per time step. The module's weights are loaded by the time a test starts, so that is when it
is converted; torch's inference mode is left for the conversion, because some recipes need gradients.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

import energy
from conversion import Converted, convert
from conversion.converted import DEFAULT_CHUNK, checked_time_steps, source_layers
from conversion.costs.activity import Active
from conversion.costs.energy import network_of
from conversion.costs.synapses import Connectivity
from conversion.errors import CalibrationError, CaptureError
from conversion.inputs import checked_budget, checked_chunk
from conversion.quantised import QuantisedNetwork
from conversion.recipes import Recipe, recipe_from
from conversion.simulation.backend import Precision
from lightning_modules.metrics import TaskMetric
from lightning_modules.results import EvaluationResult, Measurement, Totals
from lightning_modules.subjects import AnyMetric, ImagesOf, Overrides, Subject, TaskSubject, subject_of


class SpikingEvaluation(pl.Callback):
    """Converts the module's network when a test starts and evaluates it on every test batch.

    The module is any LightningModule with a `test_step` whose `forward` maps images [B, C, H, W] to logits
    [B, classes]. What `test_step` computes, returns and logs is left alone: the ANN is measured by a run of
    its own, in the trainer's precision. A batch is (images, labels), or a dictionary with usual names, such
    as "image" and "label". Whatever differs is named here, or by methods of the module:

    | what | here | in the module | else |
    | --- | --- | --- | --- |
    | network to convert, from images to outputs | `network_of` | | `forward` |
    | images in a batch | `images_of` | `inputs_and_targets(batch)[0]` | first of a pair, or by its name |
    | targets in a batch | `targets_of` | `inputs_and_targets(batch)[1]` | second of a pair, or by its name |
    | metric | `metric` | `new_metric()` | accuracy: "top1", and "top5" with more than five classes |
    | calibration images | `calibration` | data module: `calibration_batches()` | an error |

    Modules of this package offer all of them, with `network`, `ann_metric` and a `test_step` that returns
    {"output": ...}; nothing of them runs twice.

    Logs "snn/<metric>", "snn/spikes", "snn/synops" and "snn/energy_uj" (per image) at every t, with
    "time_step" beside them, to every logger of the trainer. `trainer.callback_metrics` has "snn/<metric>" at
    the last t, and "ann/<metric>".

    Args:
        recipe: conversion method, as `conversion.convert` takes it.
        time_steps: when to read out, one number or several.
        calibration: images that the network sees in training, as `conversion.convert` takes them, or a
            function that gives them; by default the trainer's data module does.
        chunk: time steps simulated at once.
        precision: of the simulation, as `simulate` takes it.
        on_readout: told t whenever a batch has reached that time step.
        memory_mib: budget of a simulation, see `Converted.memory_mib`.
        metric: a metric or a collection of torchmetrics that takes (output, targets), or a function that
            makes one.
        images_of: batch -> images [B, C, H, W]; also of calibration batches that are no tensors.
        targets_of: batch -> what the metric compares outputs with.
        network_of: module -> its part to convert, which maps images to outputs.

    Attributes:
        network: the spiking network of the latest test.
        result: what the latest test measured; available after it.
    """

    def __init__(
        self,
        recipe: str | Mapping[str, Any] | Recipe,
        time_steps: int | Sequence[int],
        calibration: Any = None,
        chunk: int = DEFAULT_CHUNK,
        precision: Precision = "float32",
        on_readout: Callable[[int], None] | None = None,
        memory_mib: float | None = None,
        metric: AnyMetric | Callable[[], AnyMetric] | None = None,
        images_of: ImagesOf | None = None,
        targets_of: Callable[[Any], Any] | None = None,
        network_of: Callable[[Any], nn.Module] | None = None,
    ) -> None:
        self.recipe = recipe_from(recipe)
        self.time_steps = tuple(self.recipe.checked(checked_time_steps(time_steps)))
        self.network: Converted | None = None
        self._calibration = calibration
        self._chunk = checked_chunk(chunk)
        self._precision = precision
        self._on_readout = on_readout
        self._memory_mib = checked_budget(memory_mib)
        self._overrides = Overrides(metric, images_of, targets_of, network_of)
        self._result: EvaluationResult | None = None
        self._subject: Subject | None = None

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
        """Convert; the weights are loaded and on their device now.

        Raises:
            ValueError: several test dataloaders, or no calibration images.
            ConversionError: see `conversion.convert`.
        """
        started = time.monotonic()
        self._result = None
        loaders = len(trainer.num_test_batches)
        if loaders > 1:
            raise ValueError(
                f"there are {loaders} test dataloaders, and their images would share one metric; test "
                "them one by one: trainer.test(module, dataloaders=loader)"
            )
        subject = subject_of(trainer, pl_module, self._overrides)
        with torch.inference_mode(False):
            self.network = self._converted(subject, pl_module, self._calibration_images(trainer))
        self._metrics: dict[int, TaskMetric] = {}
        self._totals = {t: Totals() for t in self.time_steps}
        self._seconds = {"convert": time.monotonic() - started, "simulate": 0.0}
        self._wiring: Connectivity | None = None
        self._subject = subject
        subject.start()

    def on_test_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any, **kwargs: Any
    ) -> None:
        """The module's own step begins."""
        assert self._subject is not None
        self._subject.batch_starts()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Let go of the module."""
        if self._subject is not None:
            self._subject.stop()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Let go of the module after an error, too: Lightning tears nothing down then."""
        if self._subject is not None:
            self._subject.stop()

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
        assert self._subject is not None
        given, targets = self._subject.split(batch)
        images = self.network.checked(given)  # before the ANN refuses them with another message
        reference, targets = self._subject.answer(outputs, given, targets)
        started = time.monotonic()
        self._wiring = self._wiring or self.network.connectivity(images)
        for readout in self.network.simulate(images, self.time_steps, self._chunk, self._precision):
            if readout.t not in self._metrics:
                self._metrics[readout.t] = self._subject.new_metric(readout.output)
            self._metrics[readout.t].update(readout.output, targets, reference)
            self._totals[readout.t].add(readout)
            self._ran = readout.ran
            if self._on_readout is not None:
                self._on_readout(readout.t)
        self._seconds["simulate"] += time.monotonic() - started

    def on_test_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Compute every metric, log the curve, keep the result."""
        if self._wiring is None:
            raise RuntimeError("the test set has no images")
        network, wiring, subject = self.network, self._wiring, self._subject
        assert network is not None
        assert subject is not None
        images = _over_ranks(trainer, float(self._totals[self.time_steps[0]].images))
        counts = network_of(wiring, _of_one_image(trainer, subject.active.counts(), images))
        curve = [self._point(trainer, t, wiring, counts) for t in self.time_steps]
        ann_metric = subject.ann_metric
        ann = ann_metric.compute()  # first: some metrics know their names only then
        kinds = {name: kind.value for name, kind in source_layers(network)}
        audit = network.audit
        spiking = self.recipe.neuron.max_per_step > 0
        self._result = EvaluationResult(
            metric=ann_metric.primary,
            ann=ann,
            ann_energy_pj=energy.ann_energies(counts),
            counts=counts,
            curve=curve,
            wiring=wiring,
            sources=[(name, kinds[name], units) for name, units in wiring.units.items() if spiking],
            report=[str(entry) for entry in network.report],
            verdict=audit.verdict,
            reductions=dict(audit.reductions),
            ann_outcomes=ann_metric.outcomes(),
            outcomes={t: metric.outcomes() for t, metric in self._metrics.items()},
            seconds=dict(self._seconds),
            precision=self._ran.precision,
            backend=self._ran.backend,
        )
        self._log(trainer, pl_module, curve)
        if not isinstance(subject, TaskSubject):  # others log their own
            pl_module.log_dict({f"ann/{name}": value for name, value in ann.items()})

    def _converted(self, subject: Subject, module: pl.LightningModule, calibration: Any) -> Converted:
        try:
            return convert(
                subject.network,
                self.recipe,
                calibration,
                memory_mib=self._memory_mib,
                time_steps=self.recipe.lengths(self.time_steps),
            )
        except (CalibrationError, CaptureError) as error:
            if subject.network is not module:
                raise
            raise type(error)(
                f"{error}\n  forward of {type(module).__name__} must map images [B, C, H, W] to logits. If "
                "only a part does, name it: SpikingEvaluation(..., network_of=lambda module: module.part)"
            ) from error

    def _calibration_images(self, trainer: pl.Trainer) -> Any:
        """What `convert` takes; the same on every device, so that all have one network."""
        given = self._calibration
        if given is None:
            data: Any = getattr(trainer, "datamodule", None)
            if not hasattr(data, "calibration_batches"):
                raise ValueError(
                    "no calibration images: pass some images that the network is trained on, "
                    "SpikingEvaluation(..., calibration=images), a tensor [B, C, H, W] or batches of a "
                    "DataLoader; data modules of this package give their own"
                )
            return data.calibration_batches()
        if callable(given) and not isinstance(given, nn.Module):
            given = given()
        elif isinstance(given, Iterator):  # another test would find it used up
            given = self._calibration = list(given)
        find = self._overrides.images_of
        if find is not None and not isinstance(given, Tensor | np.ndarray):
            batches = [given] if isinstance(given, Mapping) else given
            given = [one if isinstance(one, Tensor | np.ndarray) else find(one) for one in batches]
        if trainer.world_size > 1:
            given = given if isinstance(given, Tensor | np.ndarray | Mapping) else list(given)
            given = trainer.strategy.broadcast(given)
        return given

    def _point(
        self, trainer: pl.Trainer, t: int, wiring: Connectivity, counts: energy.Network
    ) -> Measurement:
        totals = self._totals[t]
        images = _over_ranks(trainer, float(totals.images))
        t_total = _over_ranks(trainer, totals.steps) / images
        spikes = {name: _over_ranks(trainer, n) / images for name, n in totals.spikes.items()}
        synops = {name: _over_ranks(trainer, n) / images for name, n in totals.synops.items()}
        neuron = self.recipe.neuron
        quantised: energy.Quantised | None = None
        if isinstance(self.network, QuantisedNetwork):
            active = _of_one_image(trainer, totals.active, images)
            quantised = _quantised(self.network.activation_bits(t), active)
        functions = self._evaluations(wiring, t_total)
        run = quantised or energy.Run(
            spikes, synops, t_total, neuron.alphabet, neuron.max_per_step, functions
        )
        return Measurement(
            t=t,
            averaged=totals.averaged,
            t_total=int(t_total) if t_total.is_integer() else t_total,
            metrics=self._metrics[t].compute(),
            spikes=spikes,
            rates={name: n / (wiring.units[name] * t_total) for name, n in spikes.items()},
            synops=synops,
            energy_pj=energy.energies(counts, run),
            functions=functions or None,
            activation_bits=quantised.bits if quantised else None,
            active_macs=dict(quantised.active_macs or {}) if quantised else None,
            active_inputs=dict(quantised.active_inputs or {}) if quantised else None,
        )

    def _evaluations(self, wiring: Connectivity, steps: float) -> dict[str, float]:
        """Evaluations of a function for one image, by operation."""
        network = self.network
        if network is None or isinstance(network, QuantisedNetwork):
            return {}
        return {name: function.values * steps for name, function in wiring.functions.items()}

    def _log(self, trainer: pl.Trainer, pl_module: pl.LightningModule, curve: list[Measurement]) -> None:
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
