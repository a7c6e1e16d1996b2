"""The kernels compile for GPUs that this machine need not have, and keep everything in registers."""

import re
import subprocess

import pytest

pytest.importorskip("triton", reason="Triton is not installed")

from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.compiler import compile as compile_for
from triton.knobs import nvidia

from conversion.neurons import (
    Burst,
    DifferentialMultiThreshold,
    ImbalancedThreshold,
    IntegrateAndFire,
    MultiThreshold,
    Signed,
    SignedMultiThreshold,
    SpikeCalibrated,
    Tracking,
)
from conversion.simulation.cuda import pooling, scanning
from conversion.simulation.cuda.available import interpreted
from conversion.simulation.cuda.launching import OPTIONS
from conversion.simulation.cuda.neurons import spiking_of
from conversion.simulation.cuda.scanning import COUNTS, MEAN, VALUES

pytestmark = pytest.mark.skipif(interpreted(), reason="TRITON_INTERPRET=1: nothing is compiled")
CAPABILITIES = (80, 90)
MOST_REGISTERS = 80  # of a thread: 25 of 64 warps fit a multiprocessor, most kernels take half as many
MOST_FOR_WINDOWS = 128  # 16 of 64


def usage_of(kernel, pointers, numbers, constants, capability, folder):
    """Registers of a thread, and bytes of them that are kept in memory, as ptxas says."""
    signature = {name: f"*{kind}" for name, kind in pointers.items()}
    signature |= dict.fromkeys(numbers, "i32") | dict.fromkeys(constants, "constexpr")
    signature = {name: signature[name] for name in kernel.arg_names}
    aligned_numbers = ALIGNED & set(numbers)
    aligned = [i for i, name in enumerate(kernel.arg_names) if name in pointers or name in aligned_numbers]
    source = ASTSource(kernel, signature, constants, {(i,): [["tt.divisibility", 16]] for i in aligned})
    made = compile_for(source, target=GPUTarget("cuda", capability, 32), options=OPTIONS)
    ptx = folder / f"{capability}.ptx"
    ptx.write_text(made.asm["ptx"])
    assert "fma" not in made.asm["ptx"]  # it rounds once where PyTorch rounds twice
    target = re.search(r"\.target (\S+)", made.asm["ptx"]).group(1)
    said = subprocess.run(
        [nvidia.ptxas.path, "-v", f"-arch={target}", ptx, "-o", folder / "cubin"],
        capture_output=True,
        text=True,
        check=True,
    ).stderr
    spilled = re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", said)
    return int(re.search(r"Used (\d+) registers", said).group(1)), sum(map(int, spilled.groups()))


ALIGNED = {"neurons", "channels"}  # numbers that 16 divides in most networks
SCAN_POINTERS = ["a_scale", "a_shift", "b_scale", "b_shift", "c_scale", "c_shift", "threshold", "membrane"]
SCAN_POINTERS += ["offset", "one", "two", "three", "done", "most_sent", "factor"]
SCAN_NUMBERS = ["a_varies", "b_varies", "c_varies", "steps", "images", "neurons", "channels"]
SCANS = {
    "exact, image": (IntegrateAndFire(), {"a": "fp32"}, "fp32", {"WRITTEN": VALUES, "DIVIDED": True}),
    "exact, residual": (
        IntegrateAndFire(),
        {"a": "fp32", "b": "fp32"},
        "fp32",
        {"WRITTEN": VALUES, "DIVIDED": True, "OFFSET": True},
    ),
    "half": (IntegrateAndFire(), {"a": "fp16"}, "fp16", {"SCALED": 1, "SHIFTED": 1}),
    "half, residual of bytes": (
        Burst(5),
        {"a": "bf16", "b": "i8", "c": "fp32"},
        "i8",
        {"SCALED": 7, "SHIFTED": 1},
    ),
    "last layer": (IntegrateAndFire(), {"a": "fp16"}, "fp32", {"SCALED": 1, "WRITTEN": MEAN}),
    "bits": (MultiThreshold(4), {"a": "fp16"}, "fp16", {}),
    "signed": (Signed(2, -0.5, 2), {"a": "fp16"}, "fp16", {}),
    "calibrated": (SpikeCalibrated(5, 4, "code"), {"a": "fp16"}, "fp16", {}),
    "leaky": (ImbalancedThreshold(0.1), {"a": "fp16"}, "fp16", {}),
    "differential": (DifferentialMultiThreshold(8), {"a": "fp16"}, "fp16", {"CAPPED": True}),
    "tracking": (Tracking(4), {"a": "fp32"}, "fp16", {"FACTOR": True}),
    "levels": (SignedMultiThreshold(8), {"a": "fp32"}, "fp16", {}),
}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "cache"))


@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize("case", SCANS)
def test_neurons_stay_in_registers(case, capability, tmp_path):
    neuron, addends, sent, settings = SCANS[case]
    pointers = dict.fromkeys(SCAN_POINTERS, "fp32") | dict.fromkeys("abc", "fp32") | addends
    pointers |= {"sent": sent, "counts": "i32"}
    constants = {"ADDENDS": len(addends), "SCALED": 0, "SHIFTED": 0, "OFFSET": False, "DIVIDED": False}
    constants |= {"CAPPED": False, "FACTOR": False, "WRITTEN": COUNTS, "BLOCK": scanning.BLOCK}
    constants |= spiking_of(neuron).constants | settings
    registers, spilled = usage_of(scanning._scan(), pointers, SCAN_NUMBERS, constants, capability, tmp_path)
    print(case, capability, registers)
    assert spilled == 0
    assert registers <= MOST_REGISTERS


def test_a_number_of_one_is_a_constant(tmp_path):
    """Triton compiles again where a number is 1, such as a single image or step."""
    pointers = dict.fromkeys([*SCAN_POINTERS, *"abc", "sent"], "fp32") | {"counts": "i32"}
    constants = {"ADDENDS": 3, "SCALED": 7, "SHIFTED": 7, "OFFSET": True, "DIVIDED": True, "CAPPED": False}
    constants |= {"FACTOR": True, "WRITTEN": MEAN, "BLOCK": scanning.BLOCK} | dict.fromkeys(SCAN_NUMBERS, 1)
    constants |= spiking_of(SpikeCalibrated(5, 4)).constants
    assert usage_of(scanning._scan(), pointers, [], constants, 90, tmp_path)[1] == 0
    pointers = dict.fromkeys(["values", "totals", "unit_value", "sent"], "fp32") | {"counts": "i32"}
    constants = {"TAPS": 1, "RULE": 0, "COUNTED": 1, "BLOCK": pooling.BLOCK} | dict.fromkeys(POOL_NUMBERS, 1)
    for axis in "HW":
        constants |= dict.fromkeys((f"KERNEL_{axis}", f"STRIDE_{axis}", f"DILATION_{axis}"), 1)
        constants[f"PAD_{axis}"] = 0
    assert usage_of(pooling._pool(), pointers, [], constants, 90, tmp_path)[1] == 0


POOL_NUMBERS = ["steps", "images", "height", "width", "channels", "out_height", "out_width"]
POOLS = [  # window, rule, values
    (2, "inhibition", "i8"),
    (2, "gate", "fp32"),
    (3, "inhibition", "fp16"),
    (3, "gate", "fp16"),
    (3, "inhibition", "fp32"),
    (3, "per-step", "fp32"),
]


@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize(("window", "rule", "kind"), POOLS)
def test_windows_stay_in_registers(window, rule, kind, capability, tmp_path):
    pointers = {"values": kind, "totals": "fp32", "unit_value": "fp32", "sent": kind, "counts": "i32"}
    number = ("inhibition", "gate", "per-step").index(rule)
    constants = {"TAPS": 4 if window == 2 else 16, "RULE": number, "COUNTED": 1, "BLOCK": pooling.BLOCK}
    for axis in "HW":
        constants |= {f"KERNEL_{axis}": window, f"STRIDE_{axis}": 2}
        constants |= {f"PAD_{axis}": window - 2, f"DILATION_{axis}": 1}
    registers, spilled = usage_of(pooling._pool(), pointers, POOL_NUMBERS, constants, capability, tmp_path)
    print(window, rule, kind, capability, registers)
    assert spilled == 0
    assert registers <= MOST_FOR_WINDOWS
