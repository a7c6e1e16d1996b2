"""A bar for simulations that take long, in a terminal or a notebook; whoever asks for none pays nothing."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextvars import ContextVar

from conversion.outputs import Readout

_TOLD: ContextVar[Callable[[int], None] | None] = ContextVar("told of finished work", default=None)


def tell(work: int) -> None:
    """Say to the bar, if there is one, that so many images times time steps have run."""
    told = _TOLD.get()
    if told is not None:
        told(work)


def shown(
    readouts: Generator[Readout, None, None], images: int, work: list[int]
) -> Generator[Readout, None, None]:
    """The same read-outs with a bar that counts time steps.

    The bar moves whenever a chunk of time steps has run, and stands where a read-out belongs when that comes:
    images that end early jump there.

    Args:
        readouts: of one simulation, in order.
        images: that are simulated.
        work: time steps that have run in all when each read-out comes.
    """
    from tqdm.auto import tqdm

    images = max(images, 1)
    done = until = 0  # images times time steps: that have run, and when the next read-out comes

    def told(more: int) -> None:
        nonlocal done
        done = min(done + more, until)
        bar.update(done // images - bar.n)

    with tqdm(total=work[-1], desc="simulate", unit="step") as bar:
        try:
            for steps in work:
                until = steps * images
                token = _TOLD.set(told)
                try:
                    readout = next(readouts)
                finally:
                    _TOLD.reset(token)  # what the caller runs between read-outs is not ours
                told(until - done)
                bar.set_postfix_str(f"t = {readout.t}")
                yield readout
        finally:
            readouts.close()
