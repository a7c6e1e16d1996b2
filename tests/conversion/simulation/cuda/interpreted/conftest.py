"""These tests interpret Triton's kernels: TRITON_INTERPRET=1 has to be set before Triton is imported.

`../test_interpreted.py` runs them in processes of their own. Elsewhere they are not collected.
"""

import os

if os.environ.get("TRITON_INTERPRET") != "1":
    collect_ignore_glob = ["test_*.py"]
