"""Training and testing: the moving average remains, training resumes, the callback measures detectors too."""

from __future__ import annotations

import pytest
import pytorch_lightning as pl
import torch

from conversion import convert
from lightning_modules.callback import SpikingEvaluation
from lightning_modules.detection import DetectionModule, DetectionOptimiserConfig
from lightning_modules.metrics import TaskMetric

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


class Recorder(pl.Callback):
    """Keeps the weights after every step."""

    def __init__(self):
        self.weights = []

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        self.weights.append(module.network.heads[0].box.weight.detach().clone())


def test_what_remains_is_the_average_of_the_weights_seen(module, data):
    module.optimiser = DetectionOptimiserConfig(ema_decay=0.5, warmup_epochs=0)
    recorder = Recorder()
    trainer_for(2, [recorder]).fit(module.train(), datamodule=data)
    # AveragedModel starts from the first weights it is shown; then d = min(0.5, (1 + n) / (10 + n))
    expected = recorder.weights[0]
    for n, weights in enumerate(recorder.weights[1:], start=1):
        decay = min(0.5, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * weights
    torch.testing.assert_close(module.network.heads[0].box.weight, expected)
    assert module.average is None


def test_without_average_the_last_weights_remain(module, data):
    module.optimiser = DetectionOptimiserConfig(ema_decay=0, warmup_epochs=0)
    recorder = Recorder()
    trainer_for(1, [recorder]).fit(module.train(), datamodule=data)
    torch.testing.assert_close(module.network.heads[0].box.weight, recorder.weights[-1], rtol=0, atol=0)


def test_training_lowers_the_loss(module, data):
    losses = []

    class Loss(pl.Callback):
        def on_train_epoch_end(self, trainer, module):
            losses.append(float(trainer.callback_metrics["train/loss"]))

    module.optimiser = DetectionOptimiserConfig(lr=5e-3, warmup_epochs=0)
    trainer_for(6, [Loss()]).fit(module.train(), datamodule=data)
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")  # the second writes none
def test_interrupted_training_continues_with_its_average(module, data, tmp_path):
    module.optimiser = DetectionOptimiserConfig(warmup_epochs=0)
    first = trainer_for(1, enable_checkpointing=True, default_root_dir=tmp_path)
    first.fit(module.train(), datamodule=data)
    (checkpoint,) = tmp_path.rglob("*.ckpt")
    assert any(key.startswith("average.") for key in torch.load(checkpoint, weights_only=True)["state_dict"])
    again = DetectionModule(module.network, data.classes, optimiser=module.optimiser)
    seen = []

    class Count(pl.Callback):
        def on_train_start(self, trainer, module):
            seen.append(int(module.average.n_averaged))

    trainer_for(2, [Count()]).fit(again, datamodule=data, ckpt_path=checkpoint)
    assert seen == [3]  # twelve images in batches of four


def test_a_checkpoint_loads_with_its_settings(module, data, tmp_path):
    trainer = trainer_for(1)
    module.optimiser = DetectionOptimiserConfig(ema_decay=0)
    trainer.fit(module.train(), datamodule=data)
    trainer.save_checkpoint(tmp_path / "m.ckpt")
    loaded = DetectionModule.load_from_checkpoint(tmp_path / "m.ckpt", network=module.network)
    assert loaded.classes == tuple(data.classes)
    assert loaded.postprocessing == module.postprocessing


@pytest.mark.parametrize("recipe", ["burst", "opi"])
def test_the_callback_agrees_with_a_plain_simulation(module, data, recipe):
    evaluation = SpikingEvaluation(recipe, TIME_STEPS)
    trainer_for(1, [evaluation]).test(module, datamodule=data, verbose=False)
    result = evaluation.result
    assert result.metric == "map"
    snn = convert(module.network, recipe, data.calibration_batches())
    metrics: dict[int, TaskMetric] = {t: module.new_metric() for t in TIME_STEPS}
    ann = module.new_metric()
    with torch.no_grad():
        for images, targets in data.test_dataloader():
            ann.update(module.network(images), targets)
            for readout in snn.simulate(images, TIME_STEPS):
                metrics[readout.t].update(readout.output, targets)
    assert result.ann == pytest.approx(ann.compute())
    for point in result.curve:
        assert point.metrics == pytest.approx(metrics[point.t].compute())
        assert len(result.outcomes[point.t]) == 6


def test_the_callback_keeps_no_raw_maps(module, data):
    evaluation = SpikingEvaluation("burst", TIME_STEPS)

    class Sizes(pl.Callback):
        def on_test_end(self, trainer, module):
            kept = [t for m in evaluation._metrics.values() for t in (*m.found, *m.truth, *m.seen)]
            self.largest = max(tensor.numel() for tensor in kept)

    sizes = Sizes()
    trainer_for(1, [evaluation, sizes]).test(module, datamodule=data, verbose=False)
    assert sizes.largest <= 100 * 7  # a hundred detections of an image


@pytest.mark.parametrize(
    "wrong",
    [
        {"lr": 0},
        {"ema_decay": 1},
        {"assignment": "near"},
        {"box_loss": "iou"},
        {"class_loss": 3},
        {"gradient_clip": 0},
    ],
)
def test_bad_settings_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        DetectionOptimiserConfig(**wrong)
