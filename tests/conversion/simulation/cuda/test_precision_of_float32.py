"""Float32 is exact inside, and what the user has set is as before outside."""

import pytest
import torch

from conversion.simulation.cuda.chunks import exact_float32

CONVOLUTIONS, PRODUCTS = torch.backends.cudnn, torch.backends.cuda.matmul


def settings():
    found = [CONVOLUTIONS.conv.fp32_precision] if hasattr(CONVOLUTIONS, "conv") else [CONVOLUTIONS.allow_tf32]
    return [*found, getattr(PRODUCTS, "fp32_precision", None)]


@pytest.fixture
def kept():
    """What was set before the test."""
    if hasattr(CONVOLUTIONS, "conv"):
        convolutions, products = CONVOLUTIONS.conv.fp32_precision, PRODUCTS.fp32_precision
        yield
        CONVOLUTIONS.conv.fp32_precision, PRODUCTS.fp32_precision = convolutions, products
    else:
        yield


def test_the_older_switches_can_be_read_before_and_after(kept):
    before = settings(), CONVOLUTIONS.allow_tf32, PRODUCTS.allow_tf32
    with pytest.raises(ZeroDivisionError), exact_float32():
        raise ZeroDivisionError
    assert (settings(), CONVOLUTIONS.allow_tf32, PRODUCTS.allow_tf32) == before


@pytest.mark.skipif(not hasattr(CONVOLUTIONS, "conv"), reason="PyTorch has the older switches alone")
@pytest.mark.parametrize("chosen", ["tf32", "ieee"])
def test_the_newer_switches_are_exact_inside_and_as_chosen_outside(kept, chosen):
    CONVOLUTIONS.conv.fp32_precision = PRODUCTS.fp32_precision = chosen
    with exact_float32():
        assert settings() == ["ieee", "ieee"]
    assert settings() == [chosen, chosen]
