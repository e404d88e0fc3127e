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

from kotovec.workers.linear import Linear, can_pack, pack

_ACTIVATIONS = {"gelu": "none", "gelu_new": "tanh", "gelu_pytorch_tanh": "tanh"}
_KINDS = {"bert": "bert.", "roberta": "roberta.", "xlm-roberta": "roberta.", "camembert": "roberta."}
_BLOCK = "encoder.layer.{}."
_ROWS = 16  # a vector register's: those behind the last full one are computed otherwise
_PACKED = 0.5  # of the weights' bytes: a worker is promised to take no more than half of them for itself
FORWARD = "kotovec BERT 2"  # counted up with every change of its last bits: shards of two are not mixed


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
        shape: "Sequences",
        dtype: Any,
        device: str,
    ) -> None:
        """Take what is needed of a checkpoint's tensors.

        Args:
            tensors: from `read_tensors`.
            architecture: of the model.
            shape: of what it will be asked.
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
        self._architecture, self._shape = architecture, shape
        self._words = take("embeddings.word_embeddings.weight", size)
        self._on_cpu = device == "cpu" and dtype == torch.float32
        self._rows = -(-shape.batch // _ROWS) * _ROWS
        self.static = self._words if self._on_cpu else tensors["embeddings.word_embeddings.weight"].float()
        self._positions = take("embeddings.position_embeddings.weight", architecture.positions, size)
        self._types = take("embeddings.token_type_embeddings.weight", architecture.types, size)
        self._norm = pair("embeddings.LayerNorm", size)
        buffers: dict[str, Any] = {}
        self._blocks = []
        for number in range(max(shape.layers)):
            at = _BLOCK.format(number)
            parts = [pair(f"{at}attention.self.{name}", size, size) for name in ("query", "key", "value")]
            apart = 0 < number == max(shape.layers) - 1
            self._blocks.append(
                _Block(
                    query=Linear(parts[:1], buffers, "query") if apart else None,
                    inputs=Linear(parts[1:], buffers, "keys") if apart else Linear(parts, buffers, "inputs"),
                    out=Linear([pair(f"{at}attention.output.dense", size, size)], buffers, "out"),
                    middle=pair(f"{at}attention.output.LayerNorm", size),
                    up=Linear([pair(f"{at}intermediate.dense", inner, size)], buffers, "up"),
                    down=Linear([pair(f"{at}output.dense", size, inner)], buffers, "down"),
                    end=pair(f"{at}output.LayerNorm", size),
                )
            )
        if can_pack(dtype, device):
            weights = self._words.nbytes + sum(linear.bytes for linear, _ in self._linears())
            pack(self._linears(), int(_PACKED * weights))

    def _linears(self) -> list[tuple[Linear, int]]:
        """Return all products and how many rows each has, those first that gain most by being packed."""
        batch, length = self._rows, self._shape.length
        inputs, up, rest = [], [], []
        for number, block in enumerate(self._blocks):
            rows = batch + length - 1 if number == 0 else batch * length
            inputs.append((block.inputs, rows))
            if block.query is not None:
                inputs.append((block.query, batch))
            rows = batch if block is self._blocks[-1] else batch * length
            up.append((block.up, rows))
            rest += [(block.down, rows), (block.out, rows)]
        return inputs + up + rest

    def states(self, inputs: Any) -> list[Any]:
        """Return the wanted layers' hidden states of the token at its place.

        Args:
            inputs: (b, T) int64 ids on the model's device.

        Returns:
            For each layer (b, D), in the dtype of the computation.
        """
        import torch

        count = len(inputs)
        if self._on_cpu and count < self._rows:
            # So products have the rows that they are packed for, and a token's bits do not depend on its batch.
            inputs = torch.cat([inputs, inputs[:1].expand(self._rows - count, -1)])
        states = self._embed(inputs.T)  # (T, b, D): the rows of a position lie together
        place = self._shape.place
        found = {0: states[place]}
        for number, block in enumerate(self._blocks, start=1):
            states = self._run(block, states, first=number == 1, last=number == len(self._blocks))
            found[number] = states[place if len(states) > 1 else 0]
        # Copies: a part would keep all positions in memory until the shard is whole.
        return [found[layer][:count].clone() for layer in self._shape.layers]

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

        place = slice(self._shape.place, self._shape.place + 1)
        projected = self._project_first(block, states) if first else block.inputs(states)
        *asking, key, value = projected.split(states.shape[-1], dim=-1)  # (T, b, D) each
        if last:
            asking, states = [part[place] for part in asking], states[place]
        query = block.query(states) if block.query is not None else asking[0]
        seen = self._attend(query, key, value)
        states = self._normalise(block.out(seen).add_(states), block.middle)
        inner = block.up(states)
        gelu: Any = functional.gelu  # its type does not tell of `out`
        gelu(inner, approximate=self._architecture.approximate, out=inner)
        return self._normalise(block.down(inner).add_(states), block.end)

    def _project_first(self, block: "_Block", states: Any) -> Any:
        """Return queries, keys and values, (T, b, 3 D), of embeddings: those of the template are the same in all rows.

        Not where RoBERTa meets `<pad>` in the token's place, which moves the positions behind it.
        """
        import torch

        length, size, _ = states.shape
        place = self._shape.place
        others = [at for at in range(length) if at == place or bool((states[at] != states[at, 0]).any())]
        same = [at for at in range(length) if at not in others]
        found = block.inputs(torch.cat([states[same, 0], states[others].flatten(0, 1)]))
        projected = found.new_empty(length, size, found.shape[-1])
        for at, row in zip(same, found[: len(same)], strict=True):
            projected[at] = row
        for at, part in zip(others, found[len(same) :].split(size), strict=True):
            projected[at] = part
        return projected

    def _attend(self, query: Any, key: Any, value: Any) -> Any:
        """Return what the heads saw, (t, b, D), of queries (t, b, D), keys and values (T, b, D).

        With keys so few, whole rows at once are faster on a CPU than torch's kernel, which goes from head to head.
        """
        import torch
        from torch.nn import functional

        count, size, width = query.shape
        heads = self._architecture.heads
        by_head = (-1, size, heads, width // heads)
        if not self._on_cpu:
            parts = (states.reshape(by_head).permute(1, 2, 0, 3) for states in (query, key, value))  # (b, H, T, d)
            return functional.scaled_dot_product_attention(*parts).permute(2, 0, 1, 3).reshape(query.shape)
        scale = query.new_full((width // heads,), (width // heads) ** -0.5)
        scores = torch.mv((query[:, None] * key).view(-1, width // heads), scale)
        weights = torch.softmax(scores.view(count, len(key), size, heads, 1), 1)
        value = value.reshape(by_head)
        seen = weights[:, 0] * value[0]
        for place in range(1, len(value)):
            seen.addcmul_(weights[:, place], value[place])
        return seen.view(query.shape)

    def _normalise(self, states: Any, norm: tuple[Any, Any]) -> Any:
        from torch.nn import functional

        return functional.layer_norm(states, states.shape[-1:], *norm, self._architecture.epsilon)


@dataclass(frozen=True)
class Sequences:
    """What a model will be asked.

    Attributes:
        layers: which hidden states are wanted, ascending; 0 is the embeddings' output.
        place: of the token in a sequence.
        length: of a sequence.
        batch: sequences at once, at most.
    """

    layers: tuple[int, ...]
    place: int
    length: int
    batch: int


@dataclass(frozen=True)
class _Block:
    """A layer's products and norms.

    Attributes:
        query: of the last layer, where only the token's position asks; else None.
        inputs: to queries, keys and values, or the latter two.
        out: of the attention.
        middle: norm behind it.
        up, down: of the feed-forward part.
        end: norm behind it.
    """

    query: Linear | None
    inputs: Linear
    out: Linear
    middle: tuple[Any, Any]
    up: Linear
    down: Linear
    end: tuple[Any, Any]
