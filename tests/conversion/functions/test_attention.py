"""Attention written out against torch's own kernels."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from conversion.errors import ConversionError
from conversion.functions.attention import PlainAttention, scaled_dot_product, written_out


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("sizes", [{}, {"kdim": 6, "vdim": 10}])
def test_multihead_attention(batch_first: bool, bias: bool, sizes: dict[str, int]) -> None:
    original = nn.MultiheadAttention(8, 2, bias=bias, batch_first=batch_first, **sizes).eval()
    query = torch.randn(3, 5, 8)
    key, value = torch.randn(3, 5, sizes.get("kdim", 8)), torch.randn(3, 5, sizes.get("vdim", 8))
    mask = torch.randn(5, 5) if batch_first else None
    expected, _ = original(query, key, value, attn_mask=mask)
    found, weights = PlainAttention(original)(query, key, value, attn_mask=mask)
    torch.testing.assert_close(found, expected)
    assert weights is None


def test_scaled_dot_product() -> None:
    q, k, v, mask = (
        torch.randn(2, 3, 5, 4),
        torch.randn(2, 3, 6, 4),
        torch.randn(2, 3, 6, 7),
        torch.randn(5, 6),
    )
    for options in ({}, {"attn_mask": mask}, {"scale": 0.3}):
        torch.testing.assert_close(
            scaled_dot_product(q, k, v, **options), F.scaled_dot_product_attention(q, k, v, **options)
        )


@pytest.mark.parametrize("options", [{"is_causal": True}, {"enable_gqa": True}])
def test_what_is_not_written_out_says_so(options: dict[str, bool]) -> None:
    with pytest.raises(ConversionError, match="is_causal or enable_gqa"):
        scaled_dot_product(*torch.randn(3, 1, 2, 4), **options)


def test_attention_inside_a_network_is_replaced() -> None:
    network = nn.ModuleDict({"block": nn.ModuleDict({"attention": nn.MultiheadAttention(8, 2)})})
    assert written_out(network) is network
    assert isinstance(network["block"]["attention"], PlainAttention)
    with pytest.raises(ConversionError, match="add_zero_attn"):
        written_out(nn.ModuleList([nn.MultiheadAttention(8, 2, add_zero_attn=True)]))


@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("batch_first", [True, False])
def test_encoders(norm_first: bool, batch_first: bool) -> None:
    layer = nn.TransformerEncoderLayer(
        8, 2, 12, activation="gelu", norm_first=norm_first, batch_first=batch_first
    )
    encoder = nn.TransformerEncoder(layer, 2, nn.LayerNorm(8), enable_nested_tensor=False).eval()
    x = torch.randn(3, 5, 8)
    plain = written_out(copy.deepcopy(encoder))
    assert not any(isinstance(module, nn.TransformerEncoderLayer) for module in plain.modules())
    torch.testing.assert_close(plain(x), encoder(x))
