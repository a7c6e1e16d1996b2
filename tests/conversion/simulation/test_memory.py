"""Budgets against what simulations really hold: every tensor storage is watched from birth to death."""

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from conversion import ConversionError, Converted, convert
from conversion.simulation.compiled import native
from conversion.simulation.memory import MIB

SIZE = (3, 32, 40)


class Watch(TorchDispatchMode):
    """Bytes of the storages that operations make, as long as somebody holds them."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: dict[int, Any] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self._see((args, kwargs), new=False)  # weights and images were there before
        result = func(*args, **(kwargs or {}))
        self._see(result, new=True)
        return result

    def _see(self, values: Any, new: bool) -> None:
        for leaf in tree_leaves(values):
            if isinstance(leaf, Tensor) and leaf.untyped_storage()._cdata not in self._known:
                self._add(leaf.untyped_storage(), new)

    def _add(self, storage: torch.UntypedStorage, new: bool) -> None:
        key, size = storage._cdata, storage.nbytes() * new

        def dies(_: Any) -> None:
            del self._known[key]
            self.now -= size

        self._known[key] = weakref.ref(storage, dies)
        self.now += size
        self.peak = max(self.peak, self.now)


class Segmenter(nn.Module):
    """A padded pool, a residual sum, an image-level branch: what large networks are made of."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.stem, self.pool = nn.Conv2d(3, width, 3, padding=1), nn.MaxPool2d(3, 2, 1)
        self.a, self.b = nn.Conv2d(width, width, 3, padding=1), nn.Conv2d(width, width, 3, padding=1)
        self.image, self.head = nn.Conv2d(width, width, 1), nn.Conv2d(2 * width, 19, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(F.relu(self.stem(x)))
        x = F.relu(x + self.b(F.relu(self.a(x))))
        image = F.relu(self.image(F.adaptive_avg_pool2d(x, 1)))
        image = F.interpolate(image, size=x.shape[-2:], mode="bilinear", align_corners=False)
        return self.head(torch.cat([x, image], 1))


@contextmanager
def without_kernel(really: bool) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        if really:
            patch.setenv("SPIKEMARK_NATIVE", "0")
            native.kernel.cache_clear()
        yield
    native.kernel.cache_clear()


def converted(recipe: Any) -> Converted:
    torch.manual_seed(1)
    return convert(Segmenter(), recipe, torch.randn(2, *SIZE))


def peak_mib(snn: Converted, images: Tensor, steps: tuple[int, ...] = (12,), chunk: int = 8) -> float:
    snn.connectivity(images)
    for _ in snn.simulate(images[:1], (1,), 1):  # weights are packed before
        pass
    with Watch() as watch:
        for _ in snn.simulate(images, steps, chunk):
            pass
    return watch.peak / MIB


def smallest(snn: Converted, images: Tensor) -> float:
    snn.memory_mib = 1e-6
    with pytest.raises(ConversionError, match="memory_mib to at least") as error:
        list(snn.simulate(images, (12,)))
    return least_in(str(error.value))


def least_in(message: str) -> float:
    return float(message.split("memory_mib to at least ")[1].split(",")[0])


CASES = [
    ("opi", False),
    ("spicalib", False),
    ("ltb", False),
    ("dcgs", True),
    ("burst", True),
    ({"preset": "opi", "initial": "residual"}, False),
]


@pytest.mark.parametrize(("recipe", "interpreted"), CASES)
def test_a_simulation_stays_within_its_budget(recipe: Any, interpreted: bool) -> None:
    with without_kernel(interpreted):
        snn, images = converted(recipe), torch.randn(4, *SIZE)
        least = smallest(snn, images)
        for budget in (least, 3 * least):
            snn.memory_mib = budget
            held = peak_mib(snn, images)
            read_outs = images.shape[0] * 19 * 16 * 20 * 4 / MIB
            assert held - read_outs <= budget
            assert held > budget / 3 or budget > least  # not far less than was asked for


def test_neurons_that_keep_to_a_bound_stay_within_their_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(F, "relu", F.relu6)
    snn, images = converted("dcgs"), torch.randn(4, *SIZE)
    assert all(layer.capped for layer in snn.at(12).layers.values())
    least = smallest(snn, images)
    snn.memory_mib = 2 * least
    assert peak_mib(snn, images) - images.shape[0] * 19 * 16 * 20 * 4 / MIB <= 2 * least


@pytest.mark.parametrize("recipe", ["spicalib", "calib-light", "opi-exit"])
def test_a_budget_changes_nothing_but_memory(recipe: str) -> None:
    spec = {"preset": "opi", "exit": "entropy"} if recipe == "opi-exit" else recipe
    torch.manual_seed(1)
    snn = convert(Segmenter(16), spec, torch.randn(8, *SIZE), time_steps=(1, 4, 9, 12))  # 12: see `smallest`
    images = torch.randn(5, *SIZE)
    free = {one.t: one for one in snn.simulate(images, (1, 4, 9))}
    snn.memory_mib = 1.3 * smallest(snn, images)
    bound = {one.t: one for one in snn.simulate(images, (1, 4, 9))}
    assert bound.keys() == free.keys()
    for t, one in bound.items():
        assert torch.allclose(one.output, free[t].output, atol=1e-4 * float(free[t].output.abs().max()))
        assert one.activity.images == 5
        assert (one.averaged, one.t_total) == (free[t].averaged, free[t].t_total)
        for name, count in one.activity.synops.items():
            assert count == pytest.approx(free[t].activity.synops[name], rel=1e-3)


def test_memory_does_not_grow_with_time() -> None:
    snn, images = converted("spicalib"), torch.randn(2, *SIZE)
    assert peak_mib(snn, images, (8,), 4) == pytest.approx(peak_mib(snn, images, (64,), 4), rel=0.01)


def test_a_window_that_neurons_need_whole_is_not_cut() -> None:
    snn, images = converted("delay-spike"), torch.randn(2, *SIZE)
    snn.memory_mib = 1.0
    with pytest.raises(ConversionError, match="need all 12 steps of the window at once") as error:
        list(snn.simulate(images, (12,)))
    snn.memory_mib = least_in(str(error.value))
    with pytest.raises(ConversionError, match="fewer time steps"):
        list(snn.simulate(images, (16,)))
    assert peak_mib(snn, images) <= snn.memory_mib


def test_fan_out_takes_memory_by_position() -> None:
    snn = converted("opi")
    wiring = snn.connectivity(torch.randn(1, *SIZE))
    kept = sum(fan.numel() for layer in wiring.layers for fan in layer.fanout.values())
    positions = sum(n // 32 for layer in wiring.layers for n in (wiring.units[s] for s in layer.fanout))
    assert kept == positions
