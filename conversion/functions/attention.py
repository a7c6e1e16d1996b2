"""Attention as what it is made of: linear layers, products of signals and a softmax.

torch runs nn.MultiheadAttention and F.scaled_dot_product_attention as one kernel each. Between its
products there are signals that neurons have to turn into spikes, so it is written out here.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from conversion.errors import ConversionError


def scaled_dot_product(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """F.scaled_dot_product_attention in eval mode, of [..., N, E]; a mask is added to the scores.

    Raises:
        ConversionError: a causal mask or grouped queries are asked for.
    """
    if is_causal or enable_gqa:
        raise ConversionError("attention with is_causal or enable_gqa; pass the mask as attn_mask")
    factor = query.shape[-1] ** -0.5 if scale is None else scale
    scores = torch.matmul(query, key.transpose(-2, -1)) * factor
    if attn_mask is not None:
        scores = scores + attn_mask
    return torch.matmul(torch.softmax(scores, -1), value)


class PlainAttention(nn.Module):
    """nn.MultiheadAttention in eval mode, written out.

    Args:
        original: whose weights are taken.

    Raises:
        ConversionError: it adds keys of its own (bias_k, add_zero_attn).
    """

    def __init__(self, original: nn.MultiheadAttention) -> None:
        super().__init__()
        if original.bias_k is not None or original.add_zero_attn:
            raise ConversionError("nn.MultiheadAttention with add_bias_kv or add_zero_attn")
        self.heads = original.num_heads
        self.batch_first = original.batch_first
        self.scale = (original.embed_dim // original.num_heads) ** -0.5
        biases = (None,) * 3 if original.in_proj_bias is None else original.in_proj_bias.chunk(3)
        if original.in_proj_weight is None:
            weights = (original.q_proj_weight, original.k_proj_weight, original.v_proj_weight)
        else:
            weights = original.in_proj_weight.chunk(3)
        self.query, self.key, self.value = (_linear(w, b) for w, b in zip(weights, biases, strict=True))
        self.out = _linear(original.out_proj.weight, original.out_proj.bias)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, None]:
        """Output as nn.MultiheadAttention gives it; weights are not given.

        Raises:
            ConversionError: a padding or causal mask is asked for.
        """
        if key_padding_mask is not None or is_causal:
            raise ConversionError("attention with key_padding_mask or is_causal; pass the mask as attn_mask")
        if not self.batch_first:
            query, key, value = (each.transpose(0, 1) for each in (query, key, value))
        mixed = scaled_dot_product(
            self._split(self.query(query)),
            self._split(self.key(key)),
            self._split(self.value(value)),
            attn_mask=attn_mask,
            scale=self.scale,
        )
        joined = self.out(mixed.transpose(1, 2).flatten(2))
        return (joined if self.batch_first else joined.transpose(0, 1)), None

    def _split(self, x: Tensor) -> Tensor:
        """[B, N, E] as [B, heads, N, E / heads]."""
        heads: Tensor = x.unflatten(2, (self.heads, -1)).transpose(1, 2)
        return heads


class PlainEncoderLayer(nn.Module):
    """nn.TransformerEncoderLayer in eval mode, written out.

    Args:
        original: whose parts are taken.
    """

    def __init__(self, original: nn.TransformerEncoderLayer) -> None:
        super().__init__()
        self.self_attn = PlainAttention(original.self_attn)
        self.linear1, self.linear2 = original.linear1, original.linear2
        self.norm1, self.norm2 = original.norm1, original.norm2
        self.norm_first, self.activation = original.norm_first, original.activation

    def forward(
        self,
        src: Tensor,
        src_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool = False,
    ) -> Tensor:
        """Output as nn.TransformerEncoderLayer gives it.

        Raises:
            ConversionError: a padding or causal mask is asked for.
        """
        if self.norm_first:
            src = src + self._attended(self.norm1(src), src_mask, src_key_padding_mask, is_causal)
            return src + self._perceptron(self.norm2(src))
        src = self.norm1(src + self._attended(src, src_mask, src_key_padding_mask, is_causal))
        result: Tensor = self.norm2(src + self._perceptron(src))
        return result

    def _attended(self, x: Tensor, mask: Tensor | None, padding: Tensor | None, is_causal: bool) -> Tensor:
        attended: Tensor = self.self_attn(x, x, x, padding, False, mask, is_causal=is_causal)[0]
        return attended

    def _perceptron(self, x: Tensor) -> Tensor:
        result: Tensor = self.linear2(self.activation(self.linear1(x)))
        return result


class PlainEncoder(nn.Module):
    """nn.TransformerEncoder in eval mode, written out.

    Args:
        original: whose layers are taken.
    """

    def __init__(self, original: nn.TransformerEncoder) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_plain(layer) for layer in original.layers)
        self.norm = original.norm

    def forward(self, src: Tensor, mask: Tensor | None = None) -> Tensor:
        """Output as nn.TransformerEncoder gives it, without padding and causal masks."""
        for layer in self.layers:
            src = layer(src, mask)
        return src if self.norm is None else self.norm(src)


def _plain(module: nn.Module) -> nn.Module:
    """What replaces a module of attention; another module itself."""
    if isinstance(module, nn.MultiheadAttention):
        return PlainAttention(module)
    if isinstance(module, nn.TransformerEncoderLayer):
        return PlainEncoderLayer(module)
    return PlainEncoder(module) if isinstance(module, nn.TransformerEncoder) else module


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias is not None)
    layer.weight = nn.Parameter(weight.detach().clone(), requires_grad=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach().clone(), requires_grad=False)
    return layer


def written_out(network: nn.Module) -> nn.Module:
    """A network with every attention and encoder of torch.nn written out; changed in place.

    Returns:
        The network itself, or what replaces it.

    Raises:
        ConversionError: an attention adds keys of its own.
    """
    replaced = _plain(network)
    if replaced is not network:
        return replaced.train(False)
    for name, child in list(network.named_children()):
        setattr(network, name, written_out(child))
    return network
