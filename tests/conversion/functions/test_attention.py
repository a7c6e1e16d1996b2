"""Attention written out against torch's own kernels."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from conversion.functions.attention import PlainAttention, scaled_dot_product
from conversion.functions.transformers import written_out


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("sizes", [{}, {"kdim": 6, "vdim": 10}])
def test_multihead_attention(batch_first: bool, bias: bool, sizes: dict[str, int]) -> None:
    original = nn.MultiheadAttention(8, 2, bias=bias, batch_first=batch_first, **sizes).eval()
    query = torch.randn(3, 5, 8)
    key, value = torch.randn(3, 5, sizes.get("kdim", 8)), torch.randn(3, 5, sizes.get("vdim", 8))
    mask = torch.randn(5, 5) if batch_first else None
    expected = original(query, key, value, attn_mask=mask)
    torch.testing.assert_close(PlainAttention(original)(query, key, value, attn_mask=mask), expected)
    _, weights = PlainAttention(original)(query, key, value, need_weights=False)
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


@pytest.mark.parametrize("heads", [4, 2, 1])
@pytest.mark.parametrize("causal", [True, False])
def test_grouped_queries_and_causal_masks(heads: int, causal: bool) -> None:
    q, k, v = torch.randn(2, 4, 5, 3), torch.randn(2, heads, 5, 3), torch.randn(2, heads, 5, 6)
    options = {"is_causal": causal, "enable_gqa": True}
    torch.testing.assert_close(
        scaled_dot_product(q, k, v, **options), F.scaled_dot_product_attention(q, k, v, **options)
    )


def test_masks_of_truth_values() -> None:
    q, k, v = torch.randn(3, 2, 2, 5, 4)
    mask = torch.rand(5, 5) > 0.4
    mask[:, 0] = True
    torch.testing.assert_close(
        scaled_dot_product(q, k, v, attn_mask=mask), F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    )
    original, x = nn.MultiheadAttention(8, 2, batch_first=True).eval(), torch.randn(3, 5, 8)
    padding = torch.tensor([[False, False, True, False, True]]).expand(3, -1)
    for options in ({"attn_mask": ~mask}, {"key_padding_mask": padding}):
        expected, _ = original(x, x, x, **options)
        torch.testing.assert_close(PlainAttention(original)(x, x, x, **options)[0], expected)


@pytest.mark.parametrize("average", [True, False])
def test_weights_of_attention(average: bool) -> None:
    original, x = nn.MultiheadAttention(8, 2, batch_first=True).eval(), torch.randn(3, 5, 8)
    expected = original(x, x, x, average_attn_weights=average)
    torch.testing.assert_close(PlainAttention(original)(x, x, x, average_attn_weights=average), expected)


@pytest.mark.parametrize("options", [{"add_bias_kv": True}, {"add_zero_attn": True}])
def test_keys_of_its_own(options: dict[str, bool]) -> None:
    original = nn.MultiheadAttention(8, 2, batch_first=True, **options).eval()
    x, mask = torch.randn(3, 5, 8), torch.randn(5, 5)
    expected, _ = original(x, x, x, attn_mask=mask)
    torch.testing.assert_close(PlainAttention(original)(x, x, x, attn_mask=mask)[0], expected)


def test_attention_inside_a_network_is_replaced() -> None:
    network = nn.ModuleDict({"block": nn.ModuleDict({"attention": nn.MultiheadAttention(8, 2)})})
    assert written_out(network) is network
    assert isinstance(network["block"]["attention"], PlainAttention)


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


@pytest.mark.filterwarnings("ignore:enable_nested_tensor is True")
@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("batch_first", [True, False])
def test_transformers(norm_first: bool, batch_first: bool) -> None:
    network = nn.Transformer(8, 2, 1, 2, 12, batch_first=batch_first, norm_first=norm_first).eval()
    source, target = (torch.randn(3, 5, 8), torch.randn(3, 4, 8)) if batch_first else torch.randn(2, 5, 3, 8)
    mask = nn.Transformer.generate_square_subsequent_mask(target.shape[1 if batch_first else 0])
    expected = network(source, target, tgt_mask=mask, tgt_is_causal=True)
    plain = written_out(copy.deepcopy(network))
    assert not any(type(module).__module__.endswith("transformer") for module in plain.modules())
    torch.testing.assert_close(plain(source, target, tgt_mask=mask, tgt_is_causal=True), expected)


class OwnForward(nn.TransformerEncoderLayer):
    def forward(self, x, **masks):
        return 2 * self._sa_block(x, None, None)


def test_a_layer_with_a_forward_of_its_own_keeps_it() -> None:
    layer, x = OwnForward(8, 2, 12, batch_first=True).eval(), torch.randn(3, 5, 8)
    expected = layer(x)
    plain = written_out(copy.deepcopy(layer))
    assert isinstance(plain.self_attn, PlainAttention)
    torch.testing.assert_close(plain(x), expected)
