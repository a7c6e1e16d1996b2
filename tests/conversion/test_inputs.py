"""Whatever holds the same images converts alike; whatever holds none is one error that says what came."""

from collections import UserDict, namedtuple

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from conversion import CalibrationError, ConversionError, convert, recipe_from, recipe_names
from conversion.errors import ImageError
from conversion.inputs import images_in, whole_number

LABELS = torch.arange(4)
Pair = namedtuple("Pair", "label image")


@pytest.fixture
def ann():
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(128, 2)).eval()


@pytest.fixture
def x():
    return torch.rand(4, 3, 6, 6)


class Samples(Dataset):
    """A data set as PyTorch asks for it: an unlimited index, and a length."""

    def __init__(self, items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index % len(self.items)]


FORMS = {
    "one tensor": lambda x: x,
    "a parameter": nn.Parameter,
    "array": lambda x: x.numpy(),
    "array of other byte order": lambda x: x.numpy().astype(">f4"),
    "array of long doubles": lambda x: x.numpy().astype(np.longdouble),
    "array in reversed order": lambda x: x.numpy()[:, ::-1].copy()[:, ::-1],
    "read-only array": lambda x: np.broadcast_to(x.numpy(), x.shape),
    "list of arrays": lambda x: [x.numpy()[:1], x.numpy()[1:]],
    "float64": torch.Tensor.double,
    "not contiguous": lambda x: x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2),
    "generator": lambda x: (part for part in x.split(2)),
    "empty batches among others": lambda x: [x[:0], x, x[:0]],
    "pairs": lambda x: [(x, LABELS)],
    "pairs with regression targets": lambda x: [[x, LABELS.float()]],
    "loader": lambda x: DataLoader(TensorDataset(x, LABELS), batch_size=3),
    "data set of batches": lambda x: Samples([x[:2], x[2:]]),
    "one dictionary": lambda x: {"image": x, "label": LABELS},
    "names of Hugging Face": lambda x: [{"pixel_values": x, "labels": LABELS}],
    "mapping that is no dict": lambda x: [UserDict(images=x, labels=LABELS)],
    "array in a dictionary": lambda x: [{"img": x.numpy(), "label": LABELS.numpy()}],
    "raw pixels beside the images": lambda x: [{"pixel_values": x, "image": (x * 255).byte()}],
    "the only floats": lambda x: [{"photo": x, "label": LABELS, "path": ["a"] * 4}],
    "the only four axes": lambda x: [{"photo": x, "target": torch.rand(4, 2)}],
    "dictionary and labels": lambda x: [({"x": x}, LABELS)],
    "named pair, labels first": lambda x: [Pair(LABELS, x)],
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_same_images_gives_the_same_network(form, ann, x):
    expected = convert(ann, "maxnorm", x).thresholds
    found = convert(ann, "maxnorm", FORMS[form](x)).thresholds
    assert list(found) == list(expected) == ["1"]
    torch.testing.assert_close(found["1"], expected["1"])


def picture():
    return Image.new("RGB", (6, 6))


REFUSED = {
    "uint8": (lambda x: (x * 255).byte(), r"expected floats, normalised .* uint8 .*/ 255 - mean\) / std"),
    "uint8 in a dictionary": (lambda x: [{"image": (x * 255).byte()}], "batch 0: expected floats, .* uint8"),
    "integers": (lambda x: x.long(), "got int64"),
    "integer array": (lambda x: (x * 255).numpy().astype("uint16"), "got uint16"),
    "truth values": (lambda x: x > 0.5, "got bool"),
    "complex": (lambda x: x + 0j, "got complex64"),
    "text array": (lambda x: np.array(["a"]), "got an array of <U1"),
    "array of objects": (lambda x: np.array([None]), "got an array of object"),
    "one image": (lambda x: x[0], r"shape \[3, 6, 6\].*without the axis of images.*images\[None\]"),
    "single images": (lambda x: [*x], r"batch 0: .*torch\.stack\(images\)"),
    "data set of samples": (lambda x: Samples([(one, 0) for one in x]), r"DataLoader\(dataset, batch_size"),
    "lists of images": (lambda x: [([*x], LABELS)], r"got a list of Tensor; .*torch\.stack"),
    "more axes": (lambda x: x[None], r"does not take images of shape \[1, 4, 3, 6, 6\]"),
    "a number": (lambda x: torch.tensor(1.0), "got a single number"),
    "other channels": (lambda x: x[:, :1], r"shape \[4, 1, 6, 6\]: layer '0', Conv2d\(3, 8.*got 1 channels"),
    "other size": (lambda x: x[..., :5], r"layer '3', Linear\(in_features=128"),
    "another size later": (
        lambda x: [x, x[..., :5]],
        r"batch 1: .*\[4, 3, 6, 5\], but of \[B, 3, 6, 6\]: layer '3'",
    ),
    "nothing": (lambda x: None, "no calibration images: pass a tensor"),
    "empty list": (lambda x: [], "no calibration images"),
    "empty batches": (lambda x: [x[:0]], "no calibration images"),
    "empty pair": (lambda x: [()], "batch 0: it is empty"),
    "used iterator": (lambda x: iter([]), "an iterator gives its batches once"),
    "text": (lambda x: "train", "got the text 'train'; pass a tensor"),
    "texts": (lambda x: ["a.png"], "batch 0: expected a tensor of floats .* got the text 'a.png'"),
    "a picture": (lambda x: picture(), r"got PIL\.Image\.Image; turn pictures into normalised tensors"),
    "pictures": (lambda x: [picture()] * 3, "batch 0: .*turn pictures into"),
    "lists of pictures": (lambda x: [{"image": [picture()] * 2}], "got a list of Image; turn pictures into"),
    "numbers": (lambda x: [1.0, 2.0], "batch 0: .* got float"),
    "nested lists": (lambda x: x.tolist(), "got a list of list"),
    "whole number": (lambda x: 5, "got int; pass a tensor"),
    "number of NumPy": (lambda x: np.float32(5), r"got numpy\.float32; pass a tensor"),
    "function": (lambda x: lambda: [x], "got function; call it first"),
    "network": (lambda x: nn.Sequential(nn.ReLU()), "got torch.nn.modules.container.Sequential; pass"),
    "one pair": (lambda x: (x, LABELS), "batch 1: .*int64.* Labels and other integers are no images"),
    "labels first": (lambda x: [(LABELS, x)], "batch 0: .*Labels and other integers"),
    "two that may be images": (
        lambda x: [{"a": x, "b": x}],
        "keys 'a', 'b', and more than one of them may be",
    ),
    "two usual names": (lambda x: [{"image": x, "x": x}], "keys 'image', 'x', and more than one"),
    "no images among others": (lambda x: [{"a": LABELS, "b": 1}, 0], "expected floats"),
    "names without tensors": (lambda x: [{"a": "b", "c": 1}], "keys 'a', 'c', and none of them may be"),
    "NaN": (lambda x: x * float("nan"), "calibration images: there are NaN or infinite values"),
    "infinite": (lambda x: [x, x / 0], "batch 1: there are NaN or infinite values"),
    "sparse": (lambda x: x.to_sparse(), "of layout torch.sparse_coo"),
    "meta": (lambda x: x.to("meta"), "device meta"),
}


@pytest.mark.parametrize("form", REFUSED)
def test_what_cannot_be_used_is_one_error_that_says_what_came(form, ann, x):
    make, message = REFUSED[form]
    with pytest.raises(CalibrationError, match=f"(?s){message}"):
        convert(ann, "opi", make(x))


def test_a_bad_first_batch_stops_before_the_second_is_read(ann, x):
    def batches():
        yield x[0]
        raise AssertionError("nobody should ask for this batch")

    with pytest.raises(CalibrationError, match="axis of images"):
        convert(ann, "opi", batches())


def test_images_without_a_batch_axis_are_seen_where_layers_would_take_them():
    """A convolution takes [C, H, W], so a fully convolutional network would run, with channels as images."""
    for channels in (1, 2, 3):
        ann = nn.Sequential(nn.Conv2d(channels, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 1))
        with pytest.raises(CalibrationError, match="axis of images"):
            convert(ann, "opi", torch.rand(channels, 6, 6))
    rows = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 2))
    assert convert(rows, "opi", torch.rand(7, 5)).thresholds
    with pytest.raises(CalibrationError, match=r"shape \[5\].*axis of images"):
        convert(rows, "opi", torch.rand(5))


def test_batches_of_different_sizes_where_the_network_takes_them():
    ann = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    small, large = torch.rand(4, 3, 6, 6), torch.rand(2, 3, 9, 9)
    apart = [float(convert(ann, "maxnorm", batch).thresholds["1"]) for batch in (small, large)]
    together = convert(ann, "maxnorm", [small, large])
    assert float(together.thresholds["1"]) == pytest.approx(max(apart))
    for batch in (small, large):
        assert together(batch, 4).shape == (len(batch), 2)


@pytest.mark.parametrize("recipe", [n for n in recipe_names() if not recipe_from(n).retrains])
def test_recipes_that_simulate_images_together_say_so_where_sizes_differ(recipe):
    ann = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2))
    small, large = torch.rand(2, 3, 5, 5), torch.rand(1, 3, 7, 6)
    try:
        snn = convert(ann, recipe, [small, large])
        outputs = [snn(batch, 2) for batch in (small, large)]
    except CalibrationError as error:
        message = str(error)
        assert "of one size; got (3, 5, 5) and (3, 7, 6)" in message
        return
    assert [tuple(output.shape) for output in outputs] == [(2, 2), (1, 2)]


def test_gradients_and_the_callers_tensor_stay_with_the_caller(ann, x):
    kept = x.clone().requires_grad_()
    snn = convert(ann, "opi", kept)
    output = snn(kept, 4)
    assert not output.requires_grad
    assert kept.grad is None
    assert torch.equal(kept, x)


def test_images_in_a_batch_are_found_by_the_same_rule(x):
    assert images_in((x, LABELS)) is x
    assert images_in({"image": x, "label": LABELS}) is x
    with pytest.raises(ImageError, match="the batch: it has the keys 'a', 'b'"):
        images_in({"a": x, "b": x})


@pytest.mark.parametrize("given", [3, np.int64(3), np.uint8(3), np.array(3), torch.tensor(3)], ids=repr)
def test_whole_numbers_of_any_library(given):
    assert whole_number(given) == 3
    assert type(whole_number(given)) is int


@pytest.mark.parametrize(
    "given",
    [3.0, True, np.True_, np.float64(3), torch.tensor(True), torch.tensor(3.0), np.array([3]), "3", None, 3j],
    ids=repr,
)
def test_what_is_no_whole_number(given):
    assert whole_number(given) is None


@pytest.mark.parametrize("mib", [0, -1, "4", True, float("nan"), [], 0.0, -float("inf")], ids=repr)
def test_a_budget_is_a_positive_number(mib, ann, x):
    with pytest.raises(ValueError, match="memory_mib must be a positive number of MiB, or None"):
        convert(ann, "opi", x, memory_mib=mib)
    snn = convert(ann, "opi", x)
    with pytest.raises(ValueError, match="memory_mib must be a positive number"):
        snn.memory_mib = mib
    assert snn.memory_mib is None


@pytest.mark.parametrize("mib", [1, 1.5, np.float32(2), np.int64(2), float("inf")], ids=repr)
def test_budgets_of_any_kind_of_number(mib, ann, x):
    snn = convert(ann, "opi", x, memory_mib=mib)
    assert snn.memory_mib == float(mib)
    assert snn(x, 2).shape == (4, 2)


def test_image_errors_are_errors_of_values_too():
    assert issubclass(ImageError, ConversionError)
    assert issubclass(ImageError, ValueError)
