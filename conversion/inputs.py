"""What users pass in, made ready for a network or refused: images, batches of them, and whole numbers.

Images arrive in many forms: tensors, arrays, pairs with labels, dictionaries of a data loader. One rule
holds for all of them: they are floats, normalised as the network expects them. Floats of another
precision become those of the network. Integers are refused, since only the user knows how to
normalise them.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor

from conversion.errors import CalibrationError, ConversionError, ImageError

IMAGE_KEYS = ("pixel_values", "image", "images", "img", "imgs", "x", "input", "inputs")  # in batches that map
FORMS = (
    "a tensor [B, C, H, W] or batches of training images: tensors, pairs (images, labels) or dictionaries "
    "with images, as a DataLoader gives them"
)
HALVES = (torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Takes:
    """What the weights of a network ask of its images; None: the network has no such preference."""

    dtype: torch.dtype | None
    device: torch.device | None


def takes(network: nn.Module) -> Takes:
    """Precision and device of a network's weights; of no precision where they differ among themselves."""
    tensors = [*network.parameters(), *network.buffers()]
    kinds = {tensor.dtype for tensor in tensors if tensor.is_floating_point()}
    return Takes(kinds.pop() if len(kinds) == 1 else None, tensors[0].device if tensors else None)


def images_of(given: Any, name: str, network: Takes, error: type[ConversionError] = ImageError) -> Tensor:
    """Check a batch of images, and give it the precision of the network.

    Args:
        given: tensor or array of floats [B, ...].
        name: what messages call it.
        network: what the images are for.
        error: raised for what cannot be used.

    Returns:
        Tensor without a gradient; an array also moves to the network's device.
    """
    if isinstance(given, np.ndarray):
        given = _from_array(given, name, error)
        given = given if network.device is None else given.to(network.device)
    if not isinstance(given, Tensor):
        raise error(f"{name}: expected a tensor of floats [B, C, H, W], got {_kind(given)}{_way_out(given)}")
    if given.layout is not torch.strided or given.is_quantized:
        layout = "quantised" if given.is_quantized else f"of layout {given.layout}"
        raise error(f"{name}: expected an ordinary tensor of floats, got one that is {layout}")
    if not given.is_floating_point():
        dtype = str(given.dtype).removeprefix("torch.")
        raise error(
            f"{name}: expected floats, normalised as in training, got {dtype} of shape {list(given.shape)}. "
            "For pixels from 0 to 255 that may be (images.float() / 255 - mean) / std, with the mean and std "
            "of the network's training. Labels and other integers are no images"
        )
    if not given.ndim:
        raise error(f"{name}: expected a tensor [B, C, H, W], got a single number")
    if given.is_meta and network.device is not None and network.device.type != "meta":
        raise error(f"{name}: they are on the device meta, so they have no values")
    images = given.detach().to(network.dtype or given.dtype)
    if not images.is_meta and not isinstance(images, FakeTensor):
        _refuse_unusable(images, given, name, error)
    return images


def _refuse_unusable(images: Tensor, given: Tensor, name: str, error: type[ConversionError]) -> None:
    """Refuse NaN and infinite values, of images as they came and as they are used; one wait for a device."""
    finite = images.isfinite()
    finite = finite.flatten(1).all(1) if finite.ndim > 1 else finite
    if bool(finite.all()):
        return
    bad = [int(index) for index in (~finite).nonzero().flatten()]
    where = f"image {bad[0]}" if len(bad) == 1 else f"images {_listed(bad)}"
    dtype = str(images.dtype).removeprefix("torch.")
    made = f", too large for {dtype}" if bool(given[bad[0]].isfinite().all()) else ""
    raise error(
        f"{name}: there are NaN or infinite values in {where}{made}; check how the images are read and "
        "normalised"
    )


def _listed(numbers: list[int], most: int = 5) -> str:
    """The first numbers, and how many more there are."""
    shown = ", ".join(map(str, numbers[:most]))
    return shown if len(numbers) <= most else f"{shown} and {len(numbers) - most} more"


def batches_of(
    calibration: Any, network: Takes, check: Callable[[Tensor, str], None] | None = None
) -> list[Tensor]:
    """Calibration images as batches of the network's precision, on its device; copies.

    Args:
        calibration: a tensor, or an iterable of batches, see `FORMS`.
        network: what the images are for.
        check: is called with every batch and its name, before the next batch is read.

    Raises:
        CalibrationError: there are no images, or something else comes in their place.
    """
    found: list[Tensor] = []
    for name, batch in _named(calibration):
        images = images_of(_picked(batch, name), name, network, CalibrationError)
        if not len(images):
            continue
        images = images.to(network.device or images.device, copy=True)
        if check is not None:
            check(images, name)
        found.append(images)
    if not found:
        used_up = isinstance(calibration, Iterator)
        why = " (an iterator gives its batches once; was it used before?)" if used_up else ""
        raise CalibrationError(f"no calibration images{why}: pass {FORMS} as `calibration`")
    return found


def images_in(batch: Any) -> Any:
    """What a batch of a data loader holds as images: the batch itself, its first part, or its entry.

    Raises:
        ImageError: it maps names to values, and none of them, or more than one, may be the images.
    """
    return _picked(batch, "the batch", ImageError)


def checked_budget(mib: Any) -> float | None:
    """A memory budget in MiB, or none; ValueError unless it is a positive number."""
    if mib is None:
        return None
    if isinstance(mib, bool) or not isinstance(mib, numbers.Real) or not float(mib) > 0:
        raise ValueError(f"memory_mib must be a positive number of MiB, or None for no limit, got {mib!r}")
    return float(mib)


def checked_chunk(chunk: Any) -> int:
    """Time steps at once; ValueError unless it is a whole number of at least 1."""
    steps = whole_number(chunk)
    if steps is None:
        raise ValueError(f"chunk must be a whole number of time steps, got {chunk!r}")
    if steps < 1:
        raise ValueError(f"chunk must be at least 1, got {steps}")
    return steps


def whole_number(given: Any) -> int | None:
    """A whole number of Python, NumPy or PyTorch; None for anything else, such as 4.0 or True."""
    if isinstance(given, Tensor | np.ndarray) and given.ndim == 0 and "bool" not in str(given.dtype):
        given = given.item()
    is_whole = isinstance(given, numbers.Integral) and not isinstance(given, bool)
    return int(given) if is_whole else None


def _named(calibration: Any) -> Iterator[tuple[str, Any]]:
    if calibration is None:
        return
    if isinstance(calibration, Tensor | np.ndarray | Mapping):
        yield "calibration images", calibration
        return
    batches = _each(calibration)
    if batches is None:
        hint = _way_out(calibration)
        raise CalibrationError(f"calibration images: got {_kind(calibration)}{hint}; pass {FORMS}")
    for index, batch in enumerate(batches):
        yield f"calibration batch {index}", batch


def _each(calibration: Any) -> Iterable[Any] | None:
    """Batches one after the other; None: these are no batches."""
    if isinstance(calibration, str | bytes | nn.Module | np.generic):
        return None
    if isinstance(calibration, Iterable):
        return calibration
    if hasattr(calibration, "__getitem__") and hasattr(calibration, "__len__"):  # a data set of PyTorch
        return (calibration[index] for index in range(len(calibration)))
    return None


def _picked(batch: Any, name: str, error: type[ConversionError] = CalibrationError) -> Any:
    """The images of one batch, not checked yet."""
    if isinstance(batch, tuple) and hasattr(batch, "_asdict"):
        fields = batch._asdict()
        return _picked(fields if any(key in fields for key in IMAGE_KEYS) else tuple(batch), name, error)
    if isinstance(batch, list | tuple):
        if not batch:
            raise error(f"{name}: it is empty")
        return _picked(batch[0], name, error) if isinstance(batch[0], Mapping) else batch[0]
    if not isinstance(batch, Mapping):
        return batch
    known = [key for key in IMAGE_KEYS if key in batch]
    candidates = known or list(batch)
    arrays = [key for key in candidates if isinstance(batch[key], Tensor | np.ndarray)]
    floats = [key for key in arrays if _is_float(batch[key])]
    images = [key for key in floats if batch[key].ndim == 4]
    for choice in (candidates, floats, images, [] if floats else arrays):
        if len(choice) == 1:
            return batch[choice[0]]
    which = "more than one of them" if floats else "none of them"
    raise error(
        f"{name}: it has the keys {', '.join(repr(key) for key in batch)}, and {which} may be the images; "
        f"pass the images themselves, or name them with one of {', '.join(IMAGE_KEYS)}"
    )


def _is_float(value: Tensor | np.ndarray) -> bool:
    return value.is_floating_point() if isinstance(value, Tensor) else value.dtype.kind == "f"


def _from_array(given: np.ndarray, name: str, error: type[ConversionError]) -> Tensor:
    """Tensor of an array; numbers of any byte order and any number of bytes."""
    kind = given.dtype.kind
    if kind not in "fiubc":
        raise error(f"{name}: expected floats, got an array of {given.dtype}")
    if kind == "f" and given.dtype.itemsize > 8:
        given = given.astype(np.float64)
    return torch.from_numpy(np.array(given, dtype=given.dtype.newbyteorder("="), order="C"))


def _kind(value: Any) -> str:
    """What a value is, in words."""
    kind = type(value)
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if isinstance(value, str):
        return f"the text {value[:40]!r}"
    if isinstance(value, list | tuple):
        inside = f" of {type(value[0]).__name__}" if value else ""
        return f"a {kind.__name__}{inside}"
    return "None" if value is None else f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins.")


def _way_out(value: Any) -> str:
    """What to do about a value that is no tensor, "" where there is no advice."""
    first = value[0] if isinstance(value, list | tuple) and value else value
    if hasattr(first, "getpixel"):  # a picture of Pillow
        return (
            "; turn pictures into normalised tensors first, as in training, for example with torchvision's "
            "ToTensor and Normalize"
        )
    if first is not value and isinstance(first, Tensor):
        return "; take the images of a pair by batch[0], make a batch of single images by torch.stack(images)"
    if isinstance(value, Mapping):
        return "; take the images by their key"
    if hasattr(value, "train_dataloader"):
        return "; of a data module, pass some batches of its train_dataloader()"
    return "; call it first" if callable(value) and not isinstance(value, nn.Module | type) else ""
