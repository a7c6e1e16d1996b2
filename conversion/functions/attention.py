"""Attention as what it is made of: linear layers, products of signals and a softmax.

torch runs nn.MultiheadAttention and F.scaled_dot_product_attention as one kernel each. Between its
products there are signals that neurons have to turn into spikes, so it is written out here.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conversion.functions.whole import whole


@whole
def masked(scores: Tensor, mask: Tensor) -> Tensor:
    """Scores of attention with a mask: numbers are added, True leaves a score out."""
    return scores.masked_fill(mask, -torch.inf) if mask.dtype == torch.bool else scores + mask


@whole
def causally_masked(scores: Tensor) -> Tensor:
    """Scores [..., L, S] without those of keys that come after their query."""
    later = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
    return scores.masked_fill(later, -torch.inf)


@whole
def kept(scores: Tensor, mask: Tensor) -> Tensor:
    """As `masked`, for masks in which True keeps a score, as those of F.scaled_dot_product_attention."""
    return scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask


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
    """F.scaled_dot_product_attention in eval mode, of [..., N, E]."""
    if enable_gqa:  # each key and value serves several queries
        key, value = (_for_all_heads(each, query) for each in (key, value))
    factor = query.shape[-1] ** -0.5 if scale is None else scale
    scores = torch.matmul(query, key.transpose(-2, -1)) * factor
    if is_causal:
        scores = causally_masked(scores)
    if attn_mask is not None:
        scores = kept(scores, attn_mask)
    return torch.matmul(torch.softmax(scores, -1), value)


def _for_all_heads(x: Tensor, query: Tensor) -> Tensor:
    return x.repeat_interleave(query.shape[-3] // x.shape[-3], -3)


def multi_head_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """F.multi_head_attention_forward in eval mode, of sequences first, [N, B, E].

    Raises:
        NotImplementedError: with keys of the attention's own, or those that are given as they are.
    """
    own = (bias_k, bias_v, static_k, static_v)
    if add_zero_attn or any(each is not None for each in own):
        raise NotImplementedError("attention with keys of its own")
    if use_separate_proj_weight:
        weights: Any = (q_proj_weight, k_proj_weight, v_proj_weight)
    else:
        weights = torch.chunk(in_proj_weight, 3)  # type: ignore[arg-type]
    biases: Any = (None,) * 3 if in_proj_bias is None else torch.chunk(in_proj_bias, 3)

    def heads(x: Tensor, which: int) -> Tensor:
        """[B, heads, N, E / heads] of [N, B, E]."""
        made = F.linear(x, weights[which], biases[which])
        return made.transpose(0, 1).unflatten(2, (num_heads, -1)).transpose(1, 2)  # type: ignore[no-any-return]

    queries, keys, values = (heads(x, which) for which, x in enumerate((query, key, value)))
    scores = torch.matmul(queries, keys.transpose(-2, -1)) * (embed_dim_to_check // num_heads) ** -0.5
    if attn_mask is not None:
        scores = masked(scores, attn_mask)
    if key_padding_mask is not None:
        scores = masked(scores, key_padding_mask[:, None, None])
    shares = torch.softmax(scores, -1)
    joined = torch.matmul(shares, values).transpose(1, 2).flatten(2).transpose(0, 1)
    result = F.linear(joined, out_proj_weight, out_proj_bias)
    if not need_weights:
        return result, None
    return result, shares.mean(1) if average_attn_weights else shares


class PlainAttention(nn.Module):
    """nn.MultiheadAttention in eval mode, written out.

    Args:
        original: whose weights are taken.
    """

    def __init__(self, original: nn.MultiheadAttention) -> None:
        super().__init__()
        self.heads = original.num_heads
        self.batch_first = original.batch_first
        self.scale = (original.embed_dim // original.num_heads) ** -0.5
        self.more_keys = _more(original, original.bias_k)  # of the attention's own, [1, heads, n, E / heads]
        self.more_values = _more(original, original.bias_v)
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
    ) -> tuple[Tensor, Tensor | None]:
        """Output and weights as nn.MultiheadAttention gives them; of causality, the mask says everything."""
        if not self.batch_first:
            query, key, value = (each.transpose(0, 1) for each in (query, key, value))
        queries, keys = self._split(self.query(query)), self._split(self.key(key))
        values = self._split(self.value(value))
        if self.more_keys is not None and self.more_values is not None:
            keys, values = _longer(keys, self.more_keys), _longer(values, self.more_values)
        scores = torch.matmul(queries, keys.transpose(-2, -1)) * self.scale
        if attn_mask is not None:
            scores = masked(scores, self._for_more_keys(attn_mask))
        if key_padding_mask is not None:
            scores = masked(scores, self._for_more_keys(key_padding_mask)[:, None, None])
        weights = torch.softmax(scores, -1)
        joined = self.out(torch.matmul(weights, values).transpose(1, 2).flatten(2))
        shown = None
        if need_weights:
            shown = weights.mean(1) if average_attn_weights else weights
        return (joined if self.batch_first else joined.transpose(0, 1)), shown

    def _split(self, x: Tensor) -> Tensor:
        """[B, N, E] as [B, heads, N, E / heads]."""
        heads: Tensor = x.unflatten(2, (self.heads, -1)).transpose(1, 2)
        return heads

    def _for_more_keys(self, mask: Tensor) -> Tensor:
        """A mask that leaves keys of the attention's own alone."""
        return mask if self.more_keys is None else F.pad(mask, (0, self.more_keys.shape[2]))


def _longer(x: Tensor, more: Tensor) -> Tensor:
    """[B, heads, N, E] with more entries [1, heads, n, E] for every image."""
    return torch.cat([x, more.expand(x.shape[0], -1, -1, -1)], 2)


def _more(original: nn.MultiheadAttention, bias: Tensor | None) -> nn.Parameter | None:
    heads, size = original.num_heads, original.head_dim
    found = [] if bias is None else [bias.detach().view(1, heads, 1, size)]
    if original.add_zero_attn:
        found.append(original.out_proj.weight.detach().new_zeros(1, heads, 1, size))
    return nn.Parameter(torch.cat(found, 2), requires_grad=False) if found else None


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias is not None)
    layer.weight = nn.Parameter(weight.detach().clone(), requires_grad=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach().clone(), requires_grad=False)
    return layer
