"""torch.nn's transformers as what they are made of: attention, perceptrons and norms, written out.

torch runs an encoder layer in eval mode as one kernel, and checks shapes in ways that cannot be traced.
Recurrent layers, which torch runs as one kernel, too, are exchanged here with them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from conversion.functions.attention import PlainAttention
from conversion.functions.recurrent import PlainCell, PlainRecurrent


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
        """Output as nn.TransformerEncoderLayer gives it; of causality, the mask says everything."""
        if self.norm_first:
            normal = self.norm1(src)
            src = src + _attended(self.self_attn, normal, normal, src_mask, src_key_padding_mask)
            return src + _perceptron(self, self.norm2(src))
        src = self.norm1(src + _attended(self.self_attn, src, src, src_mask, src_key_padding_mask))
        result: Tensor = self.norm2(src + _perceptron(self, src))
        return result


class PlainDecoderLayer(nn.Module):
    """nn.TransformerDecoderLayer in eval mode, written out.

    Args:
        original: whose parts are taken.
    """

    def __init__(self, original: nn.TransformerDecoderLayer) -> None:
        super().__init__()
        self.self_attn = PlainAttention(original.self_attn)
        self.multihead_attn = PlainAttention(original.multihead_attn)
        self.linear1, self.linear2 = original.linear1, original.linear2
        self.norm1, self.norm2, self.norm3 = original.norm1, original.norm2, original.norm3
        self.norm_first, self.activation = original.norm_first, original.activation

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """Output as nn.TransformerDecoderLayer gives it; of causality, the masks say everything."""
        own, other = (tgt_mask, tgt_key_padding_mask), (memory_mask, memory_key_padding_mask)
        x = tgt
        if self.norm_first:
            normal = self.norm1(x)
            x = x + _attended(self.self_attn, normal, normal, *own)
            x = x + _attended(self.multihead_attn, self.norm2(x), memory, *other)
            return x + _perceptron(self, self.norm3(x))
        x = self.norm1(x + _attended(self.self_attn, x, x, *own))
        x = self.norm2(x + _attended(self.multihead_attn, x, memory, *other))
        result: Tensor = self.norm3(x + _perceptron(self, x))
        return result


def _attended(attention: nn.Module, x: Tensor, to: Tensor, mask: Any, padding: Any) -> Tensor:
    attended: Tensor = attention(x, to, to, padding, False, mask)[0]
    return attended


def _perceptron(layer: Any, x: Tensor) -> Tensor:
    result: Tensor = layer.linear2(layer.activation(layer.linear1(x)))
    return result


class PlainEncoder(nn.Module):
    """nn.TransformerEncoder in eval mode, written out.

    Args:
        original: whose layers are taken.
    """

    def __init__(self, original: nn.TransformerEncoder) -> None:
        super().__init__()
        self.layers = nn.ModuleList(written_out(layer) for layer in original.layers)
        self.norm = original.norm

    def forward(
        self,
        src: Tensor,
        mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        is_causal: bool | None = None,
    ) -> Tensor:
        """Output as nn.TransformerEncoder gives it."""
        for layer in self.layers:
            src = layer(src, mask, src_key_padding_mask)
        return src if self.norm is None else self.norm(src)


class PlainDecoder(nn.Module):
    """nn.TransformerDecoder in eval mode, written out.

    Args:
        original: whose layers are taken.
    """

    def __init__(self, original: nn.TransformerDecoder) -> None:
        super().__init__()
        self.layers = nn.ModuleList(written_out(layer) for layer in original.layers)
        self.norm = original.norm

    def forward(
        self,
        tgt: Tensor,
        memory: Tensor,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """Output as nn.TransformerDecoder gives it."""
        masks = (tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask)
        for layer in self.layers:
            tgt = layer(tgt, memory, *masks)
        return tgt if self.norm is None else self.norm(tgt)


class PlainTransformer(nn.Module):
    """nn.Transformer in eval mode, written out.

    Args:
        original: whose encoder and decoder are taken.
    """

    def __init__(self, original: nn.Transformer) -> None:
        super().__init__()
        self.encoder, self.decoder = written_out(original.encoder), written_out(original.decoder)

    def forward(
        self,
        src: Tensor,
        tgt: Tensor,
        src_mask: Tensor | None = None,
        tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None,
        src_key_padding_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None,
        memory_key_padding_mask: Tensor | None = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Tensor:
        """Output as nn.Transformer gives it."""
        memory = self.encoder(src, src_mask, src_key_padding_mask)
        result: Tensor = self.decoder(
            tgt, memory, tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask
        )
        return result


# What replaces which; their parts have the same names.
_PLAIN: tuple[tuple[type[nn.Module], type[nn.Module]], ...] = (
    (nn.TransformerEncoderLayer, PlainEncoderLayer),
    (nn.TransformerDecoderLayer, PlainDecoderLayer),
    (nn.TransformerEncoder, PlainEncoder),
    (nn.TransformerDecoder, PlainDecoder),
    (nn.Transformer, PlainTransformer),
)
# The same for what has no parts of its own.
_WHOLE: tuple[tuple[type[nn.Module], type[nn.Module]], ...] = (
    (nn.MultiheadAttention, PlainAttention),
    *((kind, PlainRecurrent) for kind in (nn.LSTM, nn.GRU, nn.RNN)),
    *((kind, PlainCell) for kind in (nn.LSTMCell, nn.GRUCell, nn.RNNCell)),
)


def written_out(network: nn.Module) -> nn.Module:
    """A network with every attention, transformer and recurrent layer of torch.nn written out, in place.

    What a network derives from them with a forward of its own is left as it is, but for its parts; see
    `plain_forwards`.

    Returns:
        The network itself, or what replaces it.
    """
    for original, plain in (*_WHOLE, *_PLAIN):
        if isinstance(network, original) and type(network).forward is original.forward:
            return plain(network).train(False)
    inside = list(network.named_children())
    for original, plain in _WHOLE:
        if isinstance(network, original):
            network.written_out = plain(network).train(False)
            inside = []
    for name, child in inside:
        setattr(network, name, written_out(child))
    return network


@contextmanager
def plain_forwards() -> Iterator[None]:
    """Let `super().forward` of classes that are derived from torch.nn's transformers be written out as well.

    Networks are those of `written_out`.
    """
    kept = {original: original.forward for original, _ in (*_WHOLE, *_PLAIN)}
    try:
        for original, plain in _PLAIN:
            original.forward = plain.forward
        for original, _ in _WHOLE:
            original.forward = _forward_of_part
        yield
    finally:
        for original, forward in kept.items():
            original.forward = forward


def _forward_of_part(part: Any, *args: Any, **kwargs: Any) -> Any:
    return part.written_out(*args, **kwargs)
