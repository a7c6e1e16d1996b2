"""Images and time steps at the border of every kind of converted network."""

import numpy as np
import pytest
import torch
from torch import nn

from conversion import convert, recipe_from, recipe_names
from conversion.converted import checked_time_steps
from conversion.errors import ConversionError, ImageError

PER_LENGTH = next(name for name in recipe_names() if recipe_from(name).needs_time_steps)
KINDS = ["opi", "spicalib", "ptq", PER_LENGTH, {"preset": "opi", "exit": "entropy"}]


@pytest.fixture(params=KINDS, ids=str)
def snn(request, x):
    ann = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(128, 2)).eval()
    return convert(ann, request.param, x)


@pytest.fixture
def x():
    return torch.rand(4, 3, 6, 6)


TAKEN = {
    "float64": torch.Tensor.double,
    "array": lambda x: x.numpy(),
    "array of doubles": lambda x: x.double().numpy(),
    "with a gradient": lambda x: x.clone().requires_grad_(),
    "a parameter": nn.Parameter,
    "not contiguous": lambda x: x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2),
    "channels last": lambda x: x.to(memory_format=torch.channels_last),
}


@pytest.mark.parametrize("form", TAKEN)
def test_every_form_of_the_same_images_gives_the_same_output(form, snn, x):
    torch.testing.assert_close(snn(TAKEN[form](x), 3), snn(x, 3))


REFUSED = {
    "channels": (
        lambda x: x[:, :1],
        r"expected a batch \[B, 3, 6, 6\], as in calibration, got \[4, 1, 6, 6\].*'0'",
    ),
    "size": (lambda x: x[..., :5], r"got \[4, 3, 6, 5\], which the network does not take: layer '3', Linear"),
    "tiny": (lambda x: x[..., :1, :1], r"got \[4, 3, 1, 1\], which the network does not take: layer '0'"),
    "one image": (lambda x: x[0], r"expected a batch \[B, 3, 6, 6\].* got \[3, 6, 6\]; .* images\[None\]"),
    "rank": (lambda x: x[:, :, 0, 0], r"expected a batch \[B, 3, 6, 6\], as in calibration, got \[4, 3\]"),
    "more axes": (lambda x: x[None], r"got \[1, 4, 3, 6, 6\]"),
    "a number": (lambda x: torch.tensor(0.5), "got a single number"),
    "uint8": (lambda x: (x * 255).byte(), r"expected floats, normalised .* got uint8"),
    "integers": (lambda x: x.long(), "got int64"),
    "truth values": (lambda x: x > 0.5, "got bool"),
    "complex": (lambda x: x + 0j, "got complex64"),
    "list": (lambda x: [*x], r"got a list of Tensor; .*torch\.stack"),
    "pair": (lambda x: (x, torch.arange(4)), r"got a tuple of Tensor; .*batch\[0\]"),
    "dictionary": (lambda x: {"image": x}, "got dict; take the images by their key"),
    "nothing": (lambda x: None, "got None"),
    "text": (lambda x: "a.png", "got the text 'a.png'"),
    "meta": (lambda x: x.to("meta"), "device meta"),
    "NaN": (lambda x: x * float("nan"), "NaN or infinite"),
}


@pytest.mark.parametrize("form", REFUSED)
def test_other_images_are_one_error_that_names_both_sides(form, snn, x):
    make, message = REFUSED[form]
    with pytest.raises(ImageError, match=f"(?s)^images: .*{message}"):
        snn(make(x), 3)


def test_another_device_is_named(snn, x):
    snn.captured.to("meta")
    with pytest.raises(ImageError, match="images: they are on the device cpu, the network is on meta"):
        next(snn.simulate(x, 2))


def test_half_precision_is_refused_once_converted(snn, x):
    snn.half()
    with pytest.raises(ConversionError, match=r"weights in torch.float16.*network\.float\(\)"):
        snn(x.half(), 2)


def test_no_images_give_no_outputs(snn, x):
    readouts = list(snn.simulate(x[:0], (1, 3)))
    assert [(r.t, r.output.shape, r.activity.images) for r in readouts] == [(1, (0, 2), 0), (3, (0, 2), 0)]


def test_other_sizes_where_the_network_takes_them(x):
    ann = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    assert convert(ann, "opi", x)(torch.rand(2, 3, 9, 7), 3).shape == (2, 2)


GIVEN = {
    "array": np.arange(1, 4),
    "numbers of NumPy": [np.int64(3), np.uint8(1), 2],
    "tensor": torch.tensor([3, 1, 2]),
    "generator": (t for t in (1, 2, 3, 3)),
    "range": range(1, 4),
    "set": {3, 2, 1},
}


@pytest.mark.parametrize("form", GIVEN)
def test_time_steps_of_any_library_come_sorted_and_once(form):
    steps = checked_time_steps(GIVEN[form])
    assert steps == [1, 2, 3]
    assert {type(t) for t in steps} == {int}


@pytest.mark.parametrize("given", [3, np.int32(3), np.array(3), torch.tensor(3)], ids=repr)
def test_one_time_step_needs_no_list(given, snn, x):
    (readout,) = snn.simulate(x, given)
    assert readout.t == 3
    assert type(readout.t) is int
    torch.testing.assert_close(snn(x, given), readout.output)


@pytest.mark.parametrize(
    "given",
    [
        *(4.0, [4.0], True, [1, True], np.array([4.0]), np.array([True]), torch.tensor(2.0), torch.ones(1)),
        *(0, -1, [3, -1], [], None, "12", ["1"], [[1, 2]], np.ones((2, 2), int), {}, b"1", ...),
    ],
    ids=repr,
)
def test_what_are_no_time_steps(given):
    with pytest.raises(ValueError, match="time steps must be positive whole numbers, got"):
        checked_time_steps(given)


@pytest.mark.parametrize("chunk", ["4", 2.5, True, None, 0, -1], ids=repr)
def test_what_is_no_chunk(chunk, x):
    ann = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU())
    with pytest.raises(ValueError, match="chunk must be"):
        next(convert(ann, "opi", x).simulate(x, 2, chunk=chunk))
    assert next(convert(ann, "opi", x).simulate(x, 2, chunk=np.int64(1))).t == 2


@pytest.mark.parametrize("precision", ["int4", None, [], torch.float32], ids=repr)
def test_what_is_no_precision(precision, x):
    ann = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU())
    with pytest.raises(ValueError, match="precision must be one of float32, int16, int8"):
        next(convert(ann, "opi", x).simulate(x, 2, precision=precision))
