"""Training and testing: ignored pixels, the schedule, weights of classes, and the callback."""

from __future__ import annotations

import math

import pytest
import pytorch_lightning as pl
import torch

from conversion import convert
from lightning_modules.callback import SpikingEvaluation
from lightning_modules.segmentation import SegmentationModule, SegmentationOptimiserConfig
from lightning_modules.segmentation.class_weights import class_weights
from lightning_modules.segmentation.module import poly_factor

TIME_STEPS = (1, 4, 16)


def trainer_for(epochs, callbacks=(), **options):
    return pl.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        callbacks=list(callbacks),
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **{"enable_checkpointing": False, **options},
    )


def loss_of(module, images, labels):
    return module.training_step((images, [{"labels": one} for one in labels]), 0)


def test_the_loss_leaves_ignored_pixels_out(module, data, monkeypatch):
    monkeypatch.setattr(module, "log_dict", lambda *args, **kwargs: None)
    images, targets = next(iter(data.test_dataloader()))
    labels = torch.stack([one["labels"] for one in targets])
    ignored = labels.clone()
    ignored[:, :, 32:] = 255
    other = ignored.clone()
    module.optimiser = SegmentationOptimiserConfig(auxiliary_weight=0.5)
    loss = loss_of(module, images, ignored)
    main, auxiliary = (
        torch.nn.functional.interpolate(maps, size=(64, 64), mode="bilinear")
        for maps in module.network.training_logits(images)
    )
    expected = 0.0
    for maps, weight in ((main, 1.0), (auxiliary, 0.5)):
        seen = maps.log_softmax(1)[..., :32]
        chosen = seen.gather(1, other[:, None, :, :32].long())
        expected = expected - weight * chosen.mean()
    torch.testing.assert_close(loss, expected)
    assert loss_of(module, images, torch.full_like(labels, 255)).item() == 0.0


def test_training_lowers_the_loss(module, data):
    losses = []

    class Loss(pl.Callback):
        def on_train_epoch_end(self, trainer, module):
            losses.append(float(trainer.callback_metrics["train/loss"]))

    module.optimiser = SegmentationOptimiserConfig(lr=0.1)
    trainer_for(6, [Loss()]).fit(module.train(), datamodule=data)
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize("algorithm", ["sgd", "adamw"])
def test_the_learning_rate_falls_polynomially(module, data, algorithm):
    rates = []

    class Rate(pl.Callback):
        def on_train_batch_start(self, trainer, module, batch, batch_idx):
            rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    module.optimiser = SegmentationOptimiserConfig(algorithm, lr=0.02, power=0.9, warmup_epochs=1)
    trainer_for(3, [Rate()]).fit(module.train(), datamodule=data)  # three steps an epoch
    rise = [0.02 * step / 3 for step in (1, 2, 3)]
    fall = [0.02 * (1 - step / 6) ** 0.9 for step in range(6)]
    assert rates == pytest.approx(rise + fall)


def test_the_schedule_ends_at_zero():
    assert poly_factor(10, 10, 0, 0.9) == 0
    assert poly_factor(0, 5, 9, 0.9) == pytest.approx(1 / 5)


class TestClassWeights:
    PIXELS = torch.tensor([800, 150, 50, 0])

    def test_median_frequency(self):
        weights = class_weights(self.PIXELS, "median-frequency")
        raw = [0.15 / 0.8, 1.0, 3.0]
        assert weights.tolist() == pytest.approx([3 * one / sum(raw) for one in raw] + [0])

    def test_logarithmic(self):
        weights = class_weights(self.PIXELS, "logarithmic")
        raw = [1 / math.log(1.02 + share) for share in (0.8, 0.15, 0.05)]
        assert weights.tolist() == pytest.approx([3 * one / sum(raw) for one in raw] + [0])

    def test_no_pixels(self):
        with pytest.raises(ValueError, match="no training pixel"):
            class_weights(torch.zeros(3), "logarithmic")

    def test_they_reach_the_loss(self, module, data):
        module.optimiser = SegmentationOptimiserConfig(class_weighting="median-frequency")
        trainer_for(1, limit_train_batches=1).fit(module.train(), datamodule=data)
        expected = class_weights(data.class_pixels(), "median-frequency")
        torch.testing.assert_close(module._class_weights, expected)

    def test_they_need_a_data_module(self, module, data):
        module.optimiser = SegmentationOptimiserConfig(class_weighting="logarithmic")
        with pytest.raises(ValueError, match="fit with one, or set it to none"):
            trainer_for(1).fit(module.train(), train_dataloaders=data.train_dataloader())


def test_a_checkpoint_loads_with_its_settings(module, data, tmp_path):
    module.optimiser = SegmentationOptimiserConfig(class_weighting="logarithmic")
    trainer = trainer_for(1)
    trainer.fit(module.train(), datamodule=data)
    trainer.save_checkpoint(tmp_path / "m.ckpt")
    loaded = SegmentationModule.load_from_checkpoint(tmp_path / "m.ckpt", network=module.network)
    assert loaded.classes == tuple(data.classes)


@pytest.mark.parametrize(
    "change",
    [{"lr": 0}, {"momentum": 1}, {"power": -1}, {"algorithm": "adam"}, {"class_weighting": "inverse"}],
)
def test_bad_settings_are_refused(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        SegmentationOptimiserConfig(**change)


@pytest.mark.parametrize("recipe", ["burst", "opi"])
def test_the_callback_agrees_with_a_plain_simulation(module, data, recipe):
    evaluation = SpikingEvaluation(recipe, TIME_STEPS)
    trainer_for(1, [evaluation]).test(module, datamodule=data, verbose=False)
    result = evaluation.result
    assert result.metric == "miou"
    snn = convert(module.network, recipe, data.calibration_batches())
    metrics = {t: module.new_metric() for t in TIME_STEPS}
    with torch.no_grad():
        for images, targets in data.test_dataloader():
            reference = module.network(images)
            for readout in snn.simulate(images, TIME_STEPS):
                assert readout.output.shape == reference.shape  # coarse, whatever the size of the labels
                metrics[readout.t].update(readout.output, targets, reference)
    for point in result.curve:
        assert point.metrics == pytest.approx(metrics[point.t].compute())
