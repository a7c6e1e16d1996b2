from __future__ import annotations

import math

import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from datamodules.base import LoaderConfig
from datamodules.registry import build as build_data
from lightning_modules.classification import (
    ClassificationModule,
    OptimiserConfig,
    lr_factor,
    weight_decay_groups,
)
from lightning_modules.networks.registry import build as build_network
from lightning_modules.networks.weights import load_weights


def trainer(**options) -> pl.Trainer:
    quiet = {
        "accelerator": "cpu",
        "devices": 1,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    return pl.Trainer(**(quiet | options))


def tiny_module(**options) -> ClassificationModule:
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    return ClassificationModule(network, 3, OptimiserConfig(**options))


def tiny_loader(images: int = 10, batch_size: int = 4) -> DataLoader:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(images, 1, 2, 2, generator=generator)
    return DataLoader(TensorDataset(inputs, torch.arange(images) % 3), batch_size=batch_size)


@pytest.fixture(scope="module")
def trained():
    """small_cnn after four epochs of the built-in digits: about three seconds on two cores."""
    pl.seed_everything(0, verbose=False)
    data = build_data("digits", {}, LoaderConfig(batch_size=64))
    module = ClassificationModule(build_network("small_cnn", 10, 1, {}), 10, OptimiserConfig(warmup_epochs=1))
    fit = trainer(max_epochs=4)
    fit.fit(module, data)
    return module, data, fit


class TestTraining:
    def test_digits_are_learned_in_seconds(self, trained):
        module, data, fit = trained
        assert fit.callback_metrics["train/top1"] > 0.9
        (scores,) = trainer().test(module, data, verbose=False)
        assert scores["ann/top1"] > 0.9
        assert scores["ann/top5"] > scores["ann/top1"]

    def test_the_metric_of_a_test_run_is_kept_and_reset(self, trained):
        module, data, _ = trained
        for _ in range(2):
            (scores,) = trainer().test(module, data, verbose=False)
            outcomes = module.ann_metric.outcomes()
            assert outcomes.shape == (500,)
            assert outcomes.mean().item() == pytest.approx(scores["ann/top1"])
        images, targets = zip(*data.test_dataloader(), strict=True)
        with torch.no_grad():
            right = module.eval()(torch.cat(images)).argmax(1) == torch.cat(targets)
        torch.testing.assert_close(outcomes, right.float())

    def test_the_schedule_ends_at_zero(self, trained):
        _, _, fit = trained
        (optimiser,) = fit.optimizers
        assert fit.global_step == 4 * 20
        assert all(group["lr"] == pytest.approx(0, abs=1e-9) for group in optimiser.param_groups)

    def test_checkpoints_load_safely(self, trained, tmp_path):
        module, data, fit = trained
        path = tmp_path / "module.ckpt"
        fit.save_checkpoint(path)
        network = build_network("small_cnn", 10, 1, {})
        again = ClassificationModule.load_from_checkpoint(path, network=network)
        assert again.optimiser == module.optimiser
        assert again.num_classes == 10
        bare = build_network("small_cnn", 10, 1, {})
        load_weights(bare, path)
        images = torch.cat(data.calibration_batches())
        with torch.no_grad():
            expected = module.eval()(images)
            torch.testing.assert_close(again.eval()(images), expected)
            torch.testing.assert_close(bare.eval()(images), expected, rtol=1e-4, atol=1e-4)


def test_test_steps_hand_outputs_to_callbacks():
    seen = []

    class Watcher(pl.Callback):
        def on_test_batch_end(self, trainer, pl_module, outputs, batch, batch_idx, dataloader_idx=0):
            images, targets = pl_module.inputs_and_targets(batch)
            torch.testing.assert_close(outputs["output"], pl_module(images))
            assert torch.equal(outputs["target"], targets)
            seen.append(len(targets))

        def on_test_start(self, trainer, pl_module):
            assert pl_module.new_metric().images == 10
            assert pl_module.new_metric() is not pl_module.ann_metric

    module = tiny_module()
    trainer(callbacks=[Watcher()]).test(module, tiny_loader(), verbose=False)
    assert seen == [4, 4, 2]
    assert module.ann_metric.images == 10
    assert module.ann_metric.compute().keys() == {"top1"}
    assert module.task == "classification"


def test_limited_tests_count_what_was_tested():
    module = tiny_module()
    trainer(limit_test_batches=2).test(module, tiny_loader(), verbose=False)
    assert module.ann_metric.outcomes().shape == (8,)


@pytest.mark.parametrize("precision", ["bf16-mixed", "64-true"])
def test_any_precision_trains_and_tests(precision):
    module = tiny_module(lr=0.01)
    before = module.network[1].weight.detach().clone()
    fit = trainer(max_epochs=2, precision=precision)
    fit.fit(module, tiny_loader())
    assert math.isfinite(fit.callback_metrics["train/loss"])
    assert not torch.equal(before, module.network[1].weight.detach().to(before.dtype))
    trainer(precision=precision).test(module, tiny_loader(), verbose=False)
    assert module.ann_metric.outcomes().dtype == torch.float32


def test_the_loss_is_smoothed_cross_entropy():
    module = tiny_module(label_smoothing=0.3)
    module.network[1].weight.data.zero_()
    module.network[1].bias.data = torch.tensor([2.0, 0.0, 0.0])
    with pytest.warns(UserWarning, match=r"self\.log"):  # there is no trainer to log to
        loss = module.training_step((torch.zeros(1, 1, 2, 2), torch.tensor([0])), 0)
    # log q = (2, 0, 0) - ln(e^2 + 2); targets 1 - 0.3 + 0.1 = 0.8, 0.1, 0.1
    assert loss.item() == pytest.approx(math.log(math.e**2 + 2) - 0.8 * 2, rel=1e-5)


class TestSchedule:
    def test_shape_by_hand(self):
        factors = [lr_factor(step, total_steps=8, warmup_steps=4) for step in range(9)]
        cosine = [0.5 * (1 + math.cos(math.pi * k / 4)) for k in range(5)]
        assert factors == pytest.approx([0.25, 0.5, 0.75, 1.0, *cosine])

    def test_without_warmup_it_starts_at_the_peak(self):
        assert lr_factor(0, 10, 0) == 1

    def test_warmup_longer_than_training(self):
        assert [lr_factor(step, 2, 10) for step in range(3)] == [0.5, 1.0, 0.0]

    def test_it_is_stepped_per_batch_and_counts_accumulation(self):
        rates = []

        class Watcher(pl.Callback):
            def on_before_optimizer_step(self, trainer, pl_module, optimizer):
                rates.append(optimizer.param_groups[0]["lr"])

        module = tiny_module(lr=0.2, warmup_epochs=1)
        options = {"max_epochs": 2, "accumulate_grad_batches": 2, "callbacks": [Watcher()]}
        trainer(**options).fit(module, tiny_loader(images=16))  # 4 batches, 2 steps an epoch
        assert rates == pytest.approx([0.2 * lr_factor(step, 4, 2) for step in range(4)])


@pytest.mark.parametrize("algorithm", ["sgd", "adamw"])
def test_the_first_step_is_that_of_the_algorithm(algorithm):
    module = tiny_module(algorithm=algorithm, lr=0.01, weight_decay=0.5, label_smoothing=0)
    weight, bias = (parameter.detach().clone() for parameter in module.network[1].parameters())
    images, targets = next(iter(tiny_loader(batch_size=10)))
    wrong = (images.flatten(1) @ weight.T + bias).softmax(1) - nn.functional.one_hot(targets, 3)
    gradient, gradient_of_bias = wrong.T @ images.flatten(1) / 10, wrong.mean(0)
    trainer(max_epochs=1).fit(module, tiny_loader(batch_size=10))
    if algorithm == "adamw":  # decay apart from the step, which is the sign of the gradient
        weight, bias = (
            weight * (1 - 0.01 * 0.5) - 0.01 * gradient.sign(),
            bias - 0.01 * gradient_of_bias.sign(),
        )
    else:  # decay is part of the gradient; Nesterov's first step is (1 + momentum) times it
        weight = weight - 0.01 * 1.9 * (gradient + 0.5 * weight)
        bias = bias - 0.01 * 1.9 * gradient_of_bias
    torch.testing.assert_close(module.network[1].weight.detach(), weight, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(module.network[1].bias.detach(), bias, rtol=1e-4, atol=1e-6)


def test_only_matrices_and_kernels_decay():
    network = build_network("resnet20", 10, 3, {})
    decayed, free = weight_decay_groups(network, 0.1)
    assert decayed["weight_decay"] == 0.1
    assert free["weight_decay"] == 0
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    assert {names[id(p)].split(".")[-2][:2] for p in free["params"]} == {"bn", "li"}
    assert {names[id(p)].split(".")[-1] for p in decayed["params"]} == {"weight"}
    assert len(decayed["params"]) == 20  # nineteen convolutions and the linear layer
    assert len(decayed["params"]) + len(free["params"]) == len(names)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": 0}, "lr must be above 0"),
        ({"lr": math.nan}, "lr must be a number"),
        ({"momentum": 1.0}, r"momentum must be a number in \[0, 1\)"),
        ({"momentum": 0.0}, "nesterov needs a momentum"),
        ({"weight_decay": -1}, "weight_decay"),
        ({"label_smoothing": "0.1"}, "label_smoothing must be a number"),
        ({"warmup_epochs": -1}, "warmup_epochs"),
        ({"algorithm": "adam"}, "algorithm must be one of sgd, adamw, got 'adam'"),
    ],
)
def test_bad_settings_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        OptimiserConfig(**options)
