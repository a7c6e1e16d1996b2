"""`SpikingEvaluation` on modules of other people: any LightningModule from images to logits."""

from collections import namedtuple

import pytest
import pytorch_lightning as pl
import torch
import torchmetrics
from pytorch_lightning.callbacks import Callback
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score

from conversion import CalibrationError, CaptureError, convert
from lightning_modules.callback import SpikingEvaluation
from lightning_modules.classification import ClassificationModule
from lightning_modules.metrics import NamedMetric
from lightning_modules.subjects import targets_in

TIME_STEPS = (1, 4)
CLASSES = 7


class Plain(pl.LightningModule):
    """What most people have: a network, a forward, a test_step that logs what they like."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            *(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3), nn.ReLU()),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, CLASSES)),
        )

    def forward(self, x):
        return self.net(x)

    def test_step(self, batch, batch_idx):
        images, labels = batch
        self.log("my_loss", F.cross_entropy(self(images), labels))


class Silent(Plain):
    def test_step(self, batch, batch_idx):
        pass


@pytest.fixture
def module():
    torch.manual_seed(0)
    return Plain().eval()


@pytest.fixture
def x():
    return torch.rand(22, 3, 12, 12, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def y():
    return torch.arange(22) % CLASSES


@pytest.fixture
def loader(x, y):
    return DataLoader(TensorDataset(x, y), batch_size=8)


class Mapped(torch.utils.data.Dataset):
    """Samples of any structure."""

    def __init__(self, x, y, sample):
        self.samples = [sample(one, label) for one, label in zip(x, y, strict=True)]

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        return self.samples[index]


def test_pass(module, loader, evaluation, **settings):
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = pl.Trainer(
        **{
            "accelerator": "cpu",
            "callbacks": [evaluation],
            "enable_model_summary": False,
            **quiet,
            **settings,
        }
    )
    trainer.test(module, dataloaders=loader, verbose=False)
    return trainer.callback_metrics


test_pass.__test__ = False


def right(output, y):
    return (output.argmax(1) == y).float()


def test_a_plain_module_is_measured_as_by_hand(module, loader, x, y):
    evaluation = SpikingEvaluation("spicalib", TIME_STEPS, calibration=x[:8])
    logged = test_pass(module, loader, evaluation)
    result = evaluation.result
    snn = convert(module, "spicalib", x[:8])
    assert [point.t for point in result.curve] == list(TIME_STEPS)
    for point, readout in zip(result.curve, snn.simulate(x, TIME_STEPS), strict=True):
        expected = right(readout.output, y)
        assert point.metrics["top1"] == pytest.approx(expected.mean().item())
        assert torch.equal(result.outcomes[point.t], expected)
        for name, spikes in readout.activity.spikes.items():
            assert point.spikes[name] == pytest.approx(spikes / len(x), rel=1e-6)
    with torch.no_grad():
        logits = module(x)
    assert result.metric == "top1"
    assert result.ann["top1"] == pytest.approx(right(logits, y).mean().item())
    assert torch.equal(result.ann_outcomes, right(logits, y))
    assert logged["my_loss"] == pytest.approx(F.cross_entropy(logits, y).item(), rel=1e-4)
    assert logged["ann/top1"] == pytest.approx(result.ann["top1"])
    assert logged["snn/top1"] == pytest.approx(result.curve[-1].metrics["top1"])


def test_inputs_of_the_ann_are_counted_once_whatever_the_step_runs(module, loader, x):
    class Twice(Plain):
        def test_step(self, batch, batch_idx):
            self(batch[0])
            self(torch.rand_like(batch[0]))

    twice = Twice()
    twice.load_state_dict(module.state_dict())
    counts = []
    for one in (module, twice):
        evaluation = SpikingEvaluation("opi", 2, calibration=x)
        test_pass(one, loader, evaluation)
        counts.append({layer.name: layer for layer in evaluation.result.counts.layers})
        assert not any(m._forward_pre_hooks for m in one.modules())
    assert counts[0] == counts[1]
    assert counts[0]["net.0"].active_inputs == pytest.approx(x[0].numel(), rel=1e-3)
    assert [layer.name for layer in evaluation.result.wiring.layers] == list(counts[0])


def pair(x, y):
    return {"x": x, "y": y}


Named = namedtuple("Named", "label image")
SAMPLES = {
    "tuple": lambda x, y: (x, y),
    "list": lambda x, y: [x, y],
    "three": lambda x, y: (x, y, "path.png"),
    "dictionary": pair,
    "Hugging Face": lambda x, y: {"pixel_values": x, "labels": y, "idx": y},
    "other name of images": lambda x, y: {"photo": x, "target": y},
    "named tuple": lambda x, y: Named(y, x),
    "labels in bytes": lambda x, y: (x, y.byte()),
    "doubles": lambda x, y: (x.double(), y),
}


@pytest.mark.parametrize("form", SAMPLES)
def test_batches_of_any_usual_form(form, module, loader, x, y):
    silent = Silent()
    silent.load_state_dict(module.state_dict())
    expected, found = (SpikingEvaluation("opi", TIME_STEPS, calibration=x) for _ in range(2))
    test_pass(silent, loader, expected)
    test_pass(silent, DataLoader(Mapped(x, y, SAMPLES[form]), batch_size=8), found)
    assert [p.metrics for p in found.result.curve] == [p.metrics for p in expected.result.curve]
    assert found.result.ann == expected.result.ann


def test_functions_say_where_things_are(module, x, y):
    class Nested(Plain):
        """Its forward takes the batch, so only a part maps images to logits."""

        def forward(self, batch):
            return {"logits": self.net(batch["in"]["view"]), "truth": batch["truth"]}

        def test_step(self, batch, batch_idx):
            return self(batch)

    nested = Nested()
    nested.load_state_dict(module.state_dict())
    samples = Mapped(x, y, lambda x, y: {"in": {"view": x}, "truth": y})
    evaluation = SpikingEvaluation(
        "opi",
        TIME_STEPS,
        calibration=DataLoader(samples, batch_size=8),
        images_of=lambda batch: batch["in"]["view"],
        targets_of=lambda batch: batch["truth"],
        network_of=lambda module: module.net,
    )
    test_pass(nested, DataLoader(samples, batch_size=8), evaluation)
    snn = convert(module.net, "opi", x)
    for point, readout in zip(evaluation.result.curve, snn.simulate(x, TIME_STEPS), strict=True):
        assert point.metrics["top1"] == pytest.approx(right(readout.output, y).mean().item())


def test_methods_of_the_module_say_the_same(module, loader, x, y):
    class Speaking(Silent):
        def inputs_and_targets(self, batch):
            return batch["a"], batch["b"]

        def new_metric(self):
            return MulticlassF1Score(CLASSES, average="micro")

    speaking = Speaking()
    speaking.load_state_dict(module.state_dict())
    expected = SpikingEvaluation("opi", TIME_STEPS, calibration=x)
    test_pass(module, loader, expected)
    found = SpikingEvaluation("opi", TIME_STEPS, calibration=x)
    samples = Mapped(x, y, lambda x, y: {"a": x, "b": y, "c": x})
    test_pass(speaking, DataLoader(samples, batch_size=8), found)
    assert found.result.metric == "MulticlassF1Score"
    for one, two in zip(found.result.curve, expected.result.curve, strict=True):
        assert one.metrics == {"MulticlassF1Score": pytest.approx(two.metrics["top1"])}


METRICS = {
    "metric": lambda: MulticlassAccuracy(CLASSES, average="micro"),
    "collection": lambda: torchmetrics.MetricCollection(
        {"acc": MulticlassAccuracy(CLASSES, average="micro"), "f1": MulticlassF1Score(CLASSES)}
    ),
    "by class": lambda: MulticlassAccuracy(CLASSES, average=None),
}
FIRST = {"metric": "MulticlassAccuracy", "collection": "acc", "by class": "MulticlassAccuracy/0"}


@pytest.mark.parametrize("factory", [False, True], ids=["instance", "function"])
@pytest.mark.parametrize("kind", METRICS)
def test_metrics_of_torchmetrics(kind, factory, module, loader, x, y):
    given = METRICS[kind] if factory else METRICS[kind]()
    if not factory:
        given.update(torch.eye(CLASSES), torch.arange(CLASSES))  # used before: of no concern here
    evaluation = SpikingEvaluation("opi", TIME_STEPS, calibration=x, metric=given)
    test_pass(module, loader, evaluation)
    result = evaluation.result
    assert result.metric == FIRST[kind]
    assert result.ann_outcomes is None
    for point, readout in zip(result.curve, convert(module, "opi", x).simulate(x, TIME_STEPS), strict=True):
        alone = NamedMetric(METRICS[kind]())
        alone.update(readout.output, y)
        assert point.metrics == pytest.approx(alone.compute())


def test_one_of_ours_takes_hooks_too(module, loader, x):
    ours = ClassificationModule(module.net, CLASSES)
    evaluation = SpikingEvaluation("opi", 2, calibration=x, metric=MulticlassF1Score(CLASSES))
    test_pass(ours, loader, evaluation)
    assert list(evaluation.result.ann) == ["MulticlassF1Score"]
    assert evaluation.result.wiring.layers[0].name == "0"


CALIBRATIONS = {
    "tensor": lambda x: x,
    "array": lambda x: x.numpy(),
    "batches": lambda x: x.split(8),
    "pairs": lambda x: [(x, torch.zeros(len(x)))],
    "generator": lambda x: (part for part in x.split(8)),
    "function": lambda x: lambda: x.split(8),
    "loader": lambda x: DataLoader(TensorDataset(x, torch.zeros(len(x))), batch_size=5),
    "dictionary": lambda x: {"image": x},
    "doubles": lambda x: x.double(),
}


@pytest.mark.parametrize("form", CALIBRATIONS)
def test_calibration_images_of_every_form_serve_several_tests(form, module, loader, x):
    evaluation = SpikingEvaluation("maxnorm", 2, calibration=CALIBRATIONS[form](x))
    expected = convert(module, "maxnorm", x).thresholds
    for _ in range(2):
        test_pass(module, loader, evaluation)
        found = evaluation.network.thresholds
        torch.testing.assert_close(dict(found), dict(expected))


def test_stops_early_with_the_test(module, loader, x, y):
    evaluation = SpikingEvaluation("opi", 4, calibration=x)
    test_pass(module, loader, evaluation, limit_test_batches=2)
    expected = right(next(convert(module, "opi", x).simulate(x[:16], 4)).output, y[:16])
    assert torch.equal(evaluation.result.outcomes[4], expected)


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true", "64-true", "32-true"])
def test_the_trainers_precision_is_that_of_the_ann(precision, module, loader, x):
    evaluation = SpikingEvaluation("opi", 4, calibration=x)
    test_pass(module, loader, evaluation, precision=precision)
    dtype = next(evaluation.network.captured.parameters()).dtype
    assert dtype == (torch.float64 if precision == "64-true" else torch.float32)
    assert evaluation.result.curve[0].metrics["kl"] >= 0


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true"])
def test_our_modules_in_half_precision(precision, module, loader, x):
    evaluation = SpikingEvaluation("opi", 4, calibration=x)
    test_pass(ClassificationModule(module.net, CLASSES), loader, evaluation, precision=precision)
    assert evaluation.result.curve[0].metrics["kl"] >= 0


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # PyTorch, compiling
def test_a_compiled_module(module, loader, x):
    expected, found = (SpikingEvaluation("opi", 4, calibration=x) for _ in range(2))
    test_pass(module, loader, expected)
    test_pass(torch.compile(module, backend="eager"), loader, found)
    assert found.result.curve[0].metrics == pytest.approx(expected.result.curve[0].metrics)


@pytest.mark.filterwarnings("ignore:You are trying to `self.log:UserWarning")  # such trainers log nothing
@pytest.mark.filterwarnings("ignore:.*tensorboardX:UserWarning")  # Lightning, of its own logger
@pytest.mark.parametrize("settings", [{"fast_dev_run": True}, {"barebones": True}], ids=str)
def test_short_and_bare_trainers(settings, module, loader, x):
    evaluation = SpikingEvaluation("opi", 4, calibration=x)
    bare = {"logger": None, "enable_checkpointing": None, "enable_progress_bar": None}
    bare |= {"enable_model_summary": None, **settings} if "barebones" in settings else settings
    test_pass(Silent(), loader, evaluation, **bare)
    assert 0 <= evaluation.result.curve[0].metrics["top1"] <= 1


def test_loaders_in_a_list_or_a_dictionary_of_one(module, loader, x):
    for given in ([loader], {"test": loader}):
        evaluation = SpikingEvaluation("opi", 4, calibration=x)
        test_pass(module, given, evaluation)
        assert len(evaluation.result.outcomes[4]) == len(x)


@pytest.mark.parametrize(
    "several", [lambda one: [one, one], lambda one: {"a": one, "b": one}], ids=["list", "dict"]
)
def test_several_loaders_are_refused(several, module, loader, x):
    class Many(Silent):
        def test_step(self, batch, batch_idx, dataloader_idx=0):
            pass

    with pytest.raises(ValueError, match=r"there are 2 test dataloaders.* one by one"):
        test_pass(Many(), several(loader), SpikingEvaluation("opi", 4, calibration=x))


def test_without_a_data_module_of_ours_the_error_says_what_to_pass(module, loader):
    with pytest.raises(ValueError, match=r"no calibration images: .*calibration=images"):
        test_pass(module, loader, SpikingEvaluation("opi", 4))

    class Theirs(pl.LightningDataModule):
        def test_dataloader(self):
            return loader

    trainer = pl.Trainer(accelerator="cpu", callbacks=[SpikingEvaluation("opi", 4)], logger=False)
    with pytest.raises(ValueError, match=r"no calibration images: .*calibration=images"):
        trainer.test(module, datamodule=Theirs(), verbose=False)


class OfBatches(Plain):
    def forward(self, batch):
        return self.net(batch[0].reshape(-1, 3, 12, 12)) + batch[1]


class Branching(Plain):
    def forward(self, x):
        return self.net(x) if x.sum() > 0 else x


class Headless(pl.LightningModule):
    def test_step(self, batch, batch_idx):
        pass


@pytest.mark.parametrize("kind", [OfBatches, Branching, Headless])
def test_another_forward_is_told_how_to_name_a_part(kind, loader, x):
    with pytest.raises((CalibrationError, CaptureError), match=r"network_of=lambda module: module\.part"):
        test_pass(kind(), loader, SpikingEvaluation("opi", 4, calibration=x))


class Pixels(Silent):
    def forward(self, x):
        return F.relu(x)


def test_what_accuracy_cannot_measure_asks_for_a_metric(module, loader, x, y):
    silent = Silent()

    def refused(message, module=silent, targets=y, **words):
        data = DataLoader(TensorDataset(x, targets), batch_size=8)
        with pytest.raises(ValueError, match=message):
            test_pass(module, data, SpikingEvaluation("opi", 4, calibration=x, **words))

    refused(r"Pixels gives torch.float32 of shape \[8, 3, 12, 12\], not logits .*metric=", Pixels())
    refused(r"accuracy needs labels, .* got torch.float32 of shape \[8\].*metric=", targets=y.float())
    refused(r"accuracy needs labels, .* got torch.int64 of shape \[8, 7\]", targets=F.one_hot(y, CLASSES))
    refused("labels must be from 0 to 6, since Silent gives 7 logits, got 1 to 7", targets=y + 1)
    refused(
        "MulticlassAccuracy does not take the network's output with these targets",
        metric=MulticlassAccuracy(3),
    )


def test_batches_that_need_a_word(x, y):
    silent = Silent()

    def refused(message, sample, **words):
        data = DataLoader(Mapped(x, y, sample), batch_size=8)
        with pytest.raises(ValueError, match=message):
            test_pass(silent, data, SpikingEvaluation("opi", 4, calibration=x, **words))

    refused("keys 'a', 'b', 'y', and more than one .*images_of=", lambda x, y: {"a": x, "b": x, "y": y})
    refused("has images and no targets; .*targets_of=", lambda x, y: x)
    refused("keys 'image', 'kind', and none of them may be the targets", lambda x, y: {"image": x, "kind": y})
    refused("keys .*more than one of them may be the targets", lambda x, y: {"image": x, "label": y, "y": y})
    refused("got uint8", lambda x, y: ((x * 255).byte(), y))
    refused("images: expected .* got a list", lambda x, y: (x, y), images_of=lambda batch: [*batch[0]])


def test_targets_of_a_batch():
    assert targets_in([1, 2, 3]) == 2
    assert targets_in({"image": 0, "labels": 5}) == 5
    assert targets_in(Named(label=4, image=0)) == 4


def test_words_are_looked_at_when_they_are_said():
    with pytest.raises(TypeError, match="metric must be a metric or a collection of torchmetrics, got str"):
        SpikingEvaluation("opi", 4, metric="accuracy")
    for name in ("images_of", "targets_of", "network_of"):
        with pytest.raises(TypeError, match=f"{name} must be a function, got str"):
            SpikingEvaluation("opi", 4, **{name: "image"})
    with pytest.raises(ValueError, match="time steps must be positive whole numbers"):
        SpikingEvaluation("opi", (1, 2.0))
    with pytest.raises(ValueError, match="chunk must be"):
        SpikingEvaluation("opi", 4, chunk=0)
    with pytest.raises(ValueError, match="memory_mib must be"):
        SpikingEvaluation("opi", 4, memory_mib=-1)
    assert SpikingEvaluation("opi", torch.tensor([4, 1])).time_steps == (1, 4)


def test_words_that_give_something_else(module, loader, x):
    with pytest.raises(TypeError, match=r"network_of must give a torch.nn.Module.* got function"):
        test_pass(
            module, loader, SpikingEvaluation("opi", 4, calibration=x, network_of=lambda m: lambda x: x)
        )
    with pytest.raises(TypeError, match="metric must be a metric or a collection of torchmetrics, got float"):
        test_pass(module, loader, SpikingEvaluation("opi", 4, calibration=x, metric=lambda: 0.5))


def test_a_module_in_the_words_of_tasks_must_return_its_output(module, loader, x):
    class Mute(ClassificationModule):
        def test_step(self, batch, batch_idx):
            return None

    with pytest.raises(ValueError, match=r'Mute.test_step must return \{"output": \.\.\.\}.* got NoneType'):
        test_pass(Mute(module.net, CLASSES), loader, SpikingEvaluation("opi", 4, calibration=x))


def test_hooks_are_gone_after_an_error(module, loader, x):
    class Stops(Callback):
        def on_test_batch_end(self, *args):
            raise KeyError("stop")

    ours = ClassificationModule(module.net, CLASSES)
    evaluation = SpikingEvaluation("opi", 4, calibration=x)
    with pytest.raises(KeyError):
        test_pass(ours, loader, evaluation, callbacks=[evaluation, Stops()])
    assert not any(m._forward_pre_hooks for m in ours.modules())
    with pytest.raises(RuntimeError, match="no result yet"):
        _ = evaluation.result
