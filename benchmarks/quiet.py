"""Lightning's hints do not belong into a matrix's progress; errors still come through."""

from __future__ import annotations

import logging
import warnings


def hide_lightning_hints() -> None:
    """Silence them in this process."""
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning.fabric", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"pytorch_lightning\..*")
    warnings.filterwarnings("ignore", message=r".*LeafSpec.*")
    warnings.filterwarnings("ignore", message=r"The `srun` command is available.*")
