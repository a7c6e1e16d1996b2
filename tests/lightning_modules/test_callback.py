"""Laws of the conversion callback: it measures what a plain simulation measures, on the same batches."""

import csv

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import CSVLogger

import energy
from conversion import convert
from conversion.errors import MemoryBudgetError
from datamodules import LoaderConfig, registry
from lightning_modules import networks
from lightning_modules.callback import SpikingEvaluation
from lightning_modules.classification import ClassificationModule

TIME_STEPS = (1, 4, 16)


@pytest.fixture
def data():
    module = registry.build(
        "digits", {"size": 8}, LoaderConfig(batch_size=16, calibration_images=32, test_images=40)
    )
    module.setup()
    return module


@pytest.fixture
def module():
    torch.manual_seed(0)
    network = networks.build("small_cnn", 10, 1, {})
    with torch.no_grad():  # batch-norm statistics of real images, so that activations are sane
        network.train()
        network(torch.rand(64, 1, 8, 8))
    return ClassificationModule(network.eval(), 10)


def run_pass(module, data, recipe="burst", logger=False, callbacks=()):
    evaluation = SpikingEvaluation(recipe, TIME_STEPS)
    trainer = pl.Trainer(
        accelerator="cpu",
        callbacks=[evaluation, *callbacks],
        logger=logger,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.test(module, datamodule=data, verbose=False)
    return evaluation, trainer


@pytest.mark.parametrize("recipe", ["burst", "spicalib", "opi"])
def test_agrees_with_a_plain_simulation(module, data, recipe):
    result = run_pass(module, data, recipe)[0].result
    images = torch.cat([images for images, _ in data.test_dataloader()])
    labels = torch.cat([labels for _, labels in data.test_dataloader()])
    snn = convert(module.network, recipe, data.calibration_batches())
    for point, readout in zip(result.curve, snn.simulate(images, TIME_STEPS), strict=True):
        right = (readout.output.argmax(1) == labels).float()
        assert point.t == readout.t
        assert point.metrics["top1"] == pytest.approx(right.mean().item())
        assert torch.equal(result.outcomes[point.t].float(), right)
        for name, spikes in readout.activity.spikes.items():
            assert point.spikes[name] == pytest.approx(spikes / len(images), rel=1e-6)
    with torch.no_grad():
        ann = (module.network(images).argmax(1) == labels).float()
    assert result.ann["top1"] == pytest.approx(ann.mean().item())
    assert torch.equal(result.ann_outcomes.float(), ann)


def test_energy_is_counted_from_the_records_own_counts(module, data):
    result = run_pass(module, data)[0].result
    first = next(layer for layer in result.wiring.layers if layer.drive == "analog")
    assert all(layer.drive == "spikes" for layer in result.wiring.layers if layer is not first)
    for point in result.curve:
        expected = 4.6 * first.macs + 0.9 * sum(point.synops.values())
        assert point.energy_pj["operations"] == pytest.approx(expected)
        run = energy.Run(point.spikes, point.synops, point.t, "burst", 5)
        assert point.energy_pj == energy.energies(result.counts, run)
        assert set(point.energy_pj) == set(result.ann_energy_pj) == set(energy.models())
    assert result.ann_energy_pj["operations"] == pytest.approx(4.6 * result.wiring.macs)


def test_zeros_of_the_ann_are_counted_while_it_is_tested(module, data):
    result = run_pass(module, data)[0].result
    images = torch.cat([images for images, _ in data.test_dataloader()])
    seen = {}
    hooks = [
        m.register_forward_pre_hook(lambda _, x, name=name: seen.update({name: x[0]}))
        for name, m in module.network.named_modules()
        if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)
    ]
    with torch.no_grad():
        module.network(images)
    [hook.remove() for hook in hooks]
    counted = {layer.name: layer.active_inputs for layer in result.counts.layers}
    assert set(counted) == set(seen) == {layer.name for layer in result.wiring.layers}
    for name, x in seen.items():
        assert counted[name] == pytest.approx(float((x != 0).sum()) / len(images))
    assert not any(m._forward_pre_hooks for m in module.network.modules())


def test_the_quantised_ann_counts_its_own_zeros_and_bits(module, data):
    result = run_pass(module, data, "ptq")[0].result
    few, some, many = result.curve
    assert [point.activation_bits for point in result.curve] == [1, 3, 5]  # 1, 4 and 16 levels
    for layer in result.counts.layers:
        counts = [point.active_macs[layer.name] for point in (few, some, many)]
        if layer.drive == "analog":
            assert counts == [layer.active_macs] * 3
            assert few.active_inputs[layer.name] == layer.active_inputs
        else:  # the coarser, the more is rounded to zero
            assert counts[0] < counts[2] <= layer.active_macs
    for model, figure in many.energy_pj.items():
        assert 0 < figure < result.ann_energy_pj[model]


def test_rates_are_spikes_per_unit_and_step(module, data):
    result = run_pass(module, data)[0].result
    units = {name: count for name, _, count in result.sources}
    last = result.curve[-1]
    assert set(last.rates) == set(units)
    for name, rate in last.rates.items():
        assert rate * units[name] * last.t_total == pytest.approx(last.spikes[name])


def test_logs_every_time_step_to_every_logger(module, data, tmp_path):
    loggers = [CSVLogger(tmp_path, name="a"), CSVLogger(tmp_path, name="b")]
    evaluation, _ = run_pass(module, data, logger=loggers)
    for logger in loggers:
        with open(f"{logger.log_dir}/metrics.csv") as file:
            rows = {int(float(r["time_step"])): r for r in csv.DictReader(file) if r.get("time_step")}
        assert sorted(rows) == list(TIME_STEPS)
        for point in evaluation.result.curve:
            assert float(rows[point.t]["snn/top1"]) == pytest.approx(point.metrics["top1"])


def test_two_recipes_in_one_run_pass(module, data):
    other = SpikingEvaluation("opi", TIME_STEPS)
    first, _ = run_pass(module, data, "maxnorm", callbacks=[other])
    alone, _ = run_pass(module, data, "opi")
    assert [p.metrics for p in other.result.curve] == [p.metrics for p in alone.result.curve]
    assert first.result.curve[0].spikes != other.result.curve[0].spikes


def test_a_second_test_starts_afresh_and_leaves_the_ann_alone(module, data):
    before = {name: value.clone() for name, value in module.state_dict().items()}
    evaluation, trainer = run_pass(module, data)
    first = evaluation.result
    trainer.test(module, datamodule=data, verbose=False)
    assert [p.metrics for p in evaluation.result.curve] == [p.metrics for p in first.curve]
    assert [p.spikes for p in evaluation.result.curve] == [p.spikes for p in first.curve]
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())


def test_no_result_before_a_test():
    with pytest.raises(RuntimeError, match="no result yet"):
        _ = SpikingEvaluation("opi", (1,)).result


def test_needs_calibration_images(module, data):
    evaluation = SpikingEvaluation("opi", (1,))
    trainer = pl.Trainer(
        accelerator="cpu",
        callbacks=[evaluation],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    with pytest.raises(ValueError, match="calibration"):
        trainer.test(module, dataloaders=data.test_dataloader(), verbose=False)


def test_a_memory_budget_reaches_the_simulation(module, data):
    def result(memory_mib):
        evaluation = SpikingEvaluation("burst", TIME_STEPS, memory_mib=memory_mib)
        trainer = pl.Trainer(
            accelerator="cpu",
            callbacks=[evaluation],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.test(module, datamodule=data, verbose=False)
        return evaluation.result

    with pytest.raises(MemoryBudgetError, match=r"the budget is 0\.01 MiB\. Set memory_mib to at least"):
        result(0.01)
    free, bound = result(None), result(1.0)
    assert [p.metrics["top1"] for p in bound.curve] == [p.metrics["top1"] for p in free.curve]
    assert [p.spikes for p in bound.curve] == [p.spikes for p in free.curve]


def test_a_network_of_functions_is_audited_and_its_evaluations_are_counted(data):
    torch.manual_seed(0)
    module = ClassificationModule(networks.build("small_vit", 10, 1, {"depth": 1}), 10)
    result = run_pass(module, data, "tracking")[0].result
    assert result.verdict == "with analog reductions"
    assert set(result.reductions.values()) == {"torch.nn.LayerNorm", "torch.softmax"}
    point = result.curve[-1]
    tokens, width = 16, 48
    assert point.functions["blocks.0.norm"] == tokens * width * point.t_total
    assert point.functions["blocks.0.perceptron.2"] == tokens * 2 * width * point.t_total
    assert point.functions["blocks.0.attention.softmax"] == 3 * tokens * tokens * point.t_total
    assert result.backend in ("compiled", "pytorch")


def test_a_network_of_relus_evaluates_no_functions(module, data):
    result = run_pass(module, data, "burst")[0].result
    assert result.verdict == "spiking"
    assert result.reductions == {}
    assert all(point.functions is None for point in result.curve)
