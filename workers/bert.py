"""BERT's forward pass for what a vocabulary is: sequences of one length, of which one position is wanted.

The arithmetic is that of transformers' BertModel and RobertaModel, to which tests hold it (1e-5), with what such
sequences do not need left out: masks, all positions but one of the last layer wanted, the layers above it, the
template's rows in the first layer but once (together 12 % of MiniLM's products, 6 % of BERT-base's), and transformers
itself, whose BertModel takes 5.8 CPU-seconds to import where torch takes 2.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_ACTIVATIONS = {"gelu": "none", "gelu_new": "tanh", "gelu_pytorch_tanh": "tanh"}
_KINDS = {"bert": "bert.", "roberta": "roberta.", "xlm-roberta": "roberta.", "camembert": "roberta."}
_BLOCK = "encoder.layer.{}."
FORWARD = "kotovec BERT 1"  # counted up with every change of its last bits: shards of two are not mixed


@dataclass(frozen=True)
class Architecture:
    """What the tensors do not tell.

    Attributes:
        prefix: of the tensors' names in a checkpoint with a head, such as `bert.`.
        size, inner: of the hidden states, and between a layer's last two products.
        positions, types: rows of their embeddings.
        heads: of the attention.
        epsilon: of the layer norms.
        approximate: how gelu is computed, in torch's words.
        padding: id of `<pad>` where positions are counted from there on, as RoBERTa does; None where from 0 on.
    """

    prefix: str
    size: int
    inner: int
    positions: int
    types: int
    heads: int
    epsilon: float
    approximate: str
    padding: int | None


def architecture_of(config: Any) -> Architecture | None:
    """Return the architecture that a config of transformers tells; None where this is not its forward pass."""
    kind = config.model_type
    plain = (
        kind in _KINDS
        and config.hidden_act in _ACTIVATIONS
        and getattr(config, "position_embedding_type", "absolute") == "absolute"
        and not getattr(config, "is_decoder", False)
        and getattr(config, "quantization_config", None) is None
        and config.hidden_size % config.num_attention_heads == 0
        and (kind == "bert" or isinstance(config.pad_token_id, int))
    )
    if not plain:
        return None
    return Architecture(
        prefix=_KINDS[kind],
        size=int(config.hidden_size),
        inner=int(config.intermediate_size),
        positions=int(config.max_position_embeddings),
        types=int(config.type_vocab_size),
        heads=int(config.num_attention_heads),
        epsilon=float(config.layer_norm_eps),
        approximate=_ACTIVATIONS[config.hidden_act],
        padding=None if kind == "bert" else int(config.pad_token_id),
    )


def read_tensors(paths: Sequence[Path], prefix: str) -> dict[str, Any]:
    """Return the tensors of weight files by the names that they have without a head.

    They are mapped, not read: all workers of a machine share what they do not change.

    Raises:
        ValueError: two tensors have the same name without it.
    """
    import torch
    from safetensors import safe_open

    tensors: dict[str, Any] = {}
    for path in paths:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                tensors |= {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 — not a dictionary
        else:
            try:
                tensors |= torch.load(path, map_location="cpu", weights_only=True, mmap=True)
            except RuntimeError:  # of before torch 1.6, which cannot be mapped
                tensors |= torch.load(path, map_location="cpu", weights_only=True)
    # Checkpoints made from TensorFlow's call a norm's weight and bias gamma and beta.
    known = {
        name.removeprefix(prefix)
        .replace("LayerNorm.gamma", "LayerNorm.weight")
        .replace("LayerNorm.beta", "LayerNorm.bias"): tensor
        for name, tensor in tensors.items()
    }
    if len(known) < len(tensors):
        raise ValueError(f"names that differ only by {prefix}")
    return known


class Bert:
    """A BERT-like model; for one thread, and in torch's inference mode.

    Attributes:
        static: (rows, D) float32, the input embeddings.

    Raises:
        KeyError: a tensor is missing.
        ValueError: one has another shape than the config says.
    """

    def __init__(
        self,
        tensors: Mapping[str, Any],
        architecture: Architecture,
        layers: Sequence[int],
        place: int,
        dtype: Any,
        device: str,
    ) -> None:
        """Take what is needed of a checkpoint's tensors.

        Args:
            tensors: from `read_tensors`.
            architecture: of the model.
            layers: which hidden states are wanted, ascending; 0 is the embeddings' output.
            place: of the token in a sequence.
            dtype: of torch, to compute in.
            device: `cpu` or `cuda`.
        """
        import torch

        def take(name: str, *size: int) -> Any:
            if tuple(tensors[name].shape[-len(size) :]) != size:
                raise ValueError(f"{name} is {tuple(tensors[name].shape)}, its config says {size}")
            return tensors[name].to(dtype=dtype, device=device)

        def pair(name: str, *size: int) -> tuple[Any, Any]:
            return take(f"{name}.weight", *size), take(f"{name}.bias", size[0])

        size, inner = architecture.size, architecture.inner
        self._architecture, self._layers, self._place = architecture, tuple(layers), place
        self._words = take("embeddings.word_embeddings.weight", size)
        exact = self._words.dtype == torch.float32 and self._words.device.type == "cpu"
        self.static = self._words if exact else tensors["embeddings.word_embeddings.weight"].float()
        self._positions = take("embeddings.position_embeddings.weight", architecture.positions, size)
        self._types = take("embeddings.token_type_embeddings.weight", architecture.types, size)
        self._norm = pair("embeddings.LayerNorm", size)
        self._buffers: dict[str, Any] = {}  # of products, by name, for the largest batch yet
        self._blocks = []
        for number in range(max(layers)):
            at = _BLOCK.format(number)
            parts = [pair(f"{at}attention.self.{name}", size, size) for name in ("query", "key", "value")]
            self._blocks.append(
                _Block(
                    # One product instead of three, at the price of a copy of a quarter of a layer's weights.
                    qkv=(torch.cat([weight for weight, _ in parts]), torch.cat([bias for _, bias in parts])),
                    out=pair(f"{at}attention.output.dense", size, size),
                    middle=pair(f"{at}attention.output.LayerNorm", size),
                    up=pair(f"{at}intermediate.dense", inner, size),
                    down=pair(f"{at}output.dense", size, inner),
                    end=pair(f"{at}output.LayerNorm", size),
                )
            )

    def states(self, inputs: Any) -> list[Any]:
        """Return the wanted layers' hidden states of the token at its place.

        Args:
            inputs: (b, T) int64 ids on the model's device.

        Returns:
            For each layer (b, D), in the dtype of the computation.
        """
        states = self._embed(inputs.T)  # (T, b, D): the rows of a position lie together
        found = {0: states[self._place]}
        for number, block in enumerate(self._blocks, start=1):
            states = self._run(block, states, first=number == 1, last=number == len(self._blocks))
            found[number] = states[self._place if len(states) > 1 else 0]
        return [found[layer] for layer in self._layers]

    def _embed(self, ids: Any) -> Any:
        length = len(ids)
        if self._architecture.padding is None:
            positions = self._positions[:length].view(length, 1, -1)
        else:
            real = (ids != self._architecture.padding).long()
            positions = self._positions[real.cumsum(0) * real + self._architecture.padding]
        return self._normalise(self._words[ids] + self._types[0] + positions, self._norm)

    def _run(self, block: "_Block", states: Any, *, first: bool, last: bool) -> Any:
        """Return a layer's output: (T, b, D), of the last one only the token's position, (1, b, D)."""
        from torch.nn import functional

        length, size, width = states.shape
        by_head = (length, size, 3, self._architecture.heads, width // self._architecture.heads)
        projected = self._project_first(block, states) if first else self._multiply(states, block.qkv, "qkv")
        query, key, value = projected.view(by_head).permute(2, 1, 3, 0, 4)  # (b, H, T, d) each
        if last:
            query, states = query[:, :, self._place : self._place + 1], states[self._place : self._place + 1]
        seen = functional.scaled_dot_product_attention(query, key, value)
        seen = seen.permute(2, 0, 1, 3).reshape(states.shape)
        states = self._normalise(self._multiply(seen, block.out, "out").add_(states), block.middle)
        inner = self._multiply(states, block.up, "up")
        gelu: Any = functional.gelu  # its type does not tell of `out`
        gelu(inner, approximate=self._architecture.approximate, out=inner)
        return self._normalise(self._multiply(inner, block.down, "down").add_(states), block.end)

    def _project_first(self, block: "_Block", states: Any) -> Any:
        """Return queries, keys and values, (T, b, 3 D), of embeddings: those of the template are the same in all rows.

        Not where RoBERTa meets `<pad>` in the token's place, which moves the positions behind it.
        """
        import torch

        length, size, _ = states.shape
        others = [
            place for place in range(length) if place == self._place or bool((states[place] != states[place, 0]).any())
        ]
        same = [place for place in range(length) if place not in others]
        rows = torch.cat([states[same, 0], states[others].flatten(0, 1)])
        found = self._multiply(rows, block.qkv, "qkv")
        projected = found.new_empty(length, size, found.shape[-1])
        for place, row in zip(same, found[: len(same)], strict=True):
            projected[place] = row
        for place, part in zip(others, found[len(same) :].split(size), strict=True):
            projected[place] = part
        return projected

    def _multiply(self, states: Any, layer: tuple[Any, Any], name: str) -> Any:
        """Return states · weightᵀ + bias, which the next product of this name overwrites.

        In float32 on a CPU it lies where the one before lay, in the cache, and the bias is added there: products,
        biases and gelu of MiniLM take 291 us a token so, 318 as `linear` does them, in new memory each time.
        """
        import torch
        from torch.nn import functional

        weight, bias = layer
        if states.dtype != torch.float32 or states.device.type != "cpu":
            return functional.linear(states, weight, bias)
        flat = states.reshape(-1, states.shape[-1])
        buffer = self._buffers.get(name)
        if buffer is None or len(buffer) < len(flat):
            buffer = self._buffers[name] = torch.empty(len(flat), len(weight))
        product = buffer[: len(flat)]
        torch.mm(flat, weight.T, out=product).add_(bias)
        return product.view(*states.shape[:-1], -1)

    def _normalise(self, states: Any, norm: tuple[Any, Any]) -> Any:
        from torch.nn import functional

        return functional.layer_norm(states, states.shape[-1:], *norm, self._architecture.epsilon)


@dataclass(frozen=True)
class _Block:
    """A layer's weights and biases."""

    qkv: tuple[Any, Any]
    out: tuple[Any, Any]
    middle: tuple[Any, Any]
    up: tuple[Any, Any]
    down: tuple[Any, Any]
    end: tuple[Any, Any]
