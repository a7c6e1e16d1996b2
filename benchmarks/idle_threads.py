"""How long threads that have nothing to do look for work before they sleep.

A benchmark changes between PyTorch's operations, which all threads run, and Python, which one runs. In
between the others look for the next operation, for about 15 ms (libgomp, of PyTorch and our kernels) or 25 ms
(OpenBLAS, of NumPy). On small networks that is most of the processor time of a run, taken from whoever else
needs the cores. Operations in a row are some 20 us apart, so 50 us are enough to be there in time.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping

# Environment variable -> what it is set to, and those that say the same: where a user set one, it stays so.
_LOOKS = {
    "GOMP_SPINCOUNT": ("1000", ("OMP_WAIT_POLICY",)),  # looks; each takes about 50 ns
    "OPENBLAS_THREAD_TIMEOUT": ("16", ()),  # 2^16 cycles of the processor
}


def sleep_soon(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let threads sleep soon, in this process and those that it starts.

    Libraries ask once, when they are loaded, so this comes before torch and numpy are imported.

    Args:
        environment: of the process.
    """
    for name, (value, others) in _LOOKS.items():
        if not any(other in environment for other in others):
            environment.setdefault(name, value)
