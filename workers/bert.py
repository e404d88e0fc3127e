"""BERT's forward pass for what a vocabulary is: sequences of one length, of which one position is wanted.

The arithmetic is that of transformers' BertModel and RobertaModel, to which tests hold it (1e-5), with what such
sequences do not need left out: masks, all positions but one of the last layer wanted, the layers above it, the
template's rows in the first layer but once, one position's keys (together 14 % of MiniLM's products, 9 % of
BERT-base's), and transformers itself, whose BertModel takes 5.8 CPU-seconds to import where torch takes 2.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kotovec.workers.linear import Linear

_ACTIVATIONS = {"gelu": "none", "gelu_new": "tanh", "gelu_pytorch_tanh": "tanh"}
_KINDS = {"bert": "bert.", "roberta": "roberta.", "xlm-roberta": "roberta.", "camembert": "roberta."}
_BLOCK = "encoder.layer.{}."
_ROWS = 16  # a vector register's: those behind the last full one are computed otherwise
FORWARD = "kotovec BERT 6"  # counted up with every change of its last bits: shards of two are not mixed


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
        width = size // architecture.heads
        self._scale = torch.full((width,), width**-0.5, dtype=dtype, device=device)
        self._rows = -(-shape.batch // _ROWS) * _ROWS
        self.static = self._words if self._on_cpu else tensors["embeddings.word_embeddings.weight"].float()
        self._positions = take("embeddings.position_embeddings.weight", architecture.positions, size)
        self._types = take("embeddings.token_type_embeddings.weight", architecture.types, size)
        self._norm = pair("embeddings.LayerNorm", size)
        buffers: dict[str, Any] = {}
        self._blocks = []
        for number in range(max(shape.layers)):
            at = _BLOCK.format(number)
            query, key, value = (pair(f"{at}attention.self.{name}", size, size) for name in ("query", "key", "value"))
            apart = 0 < number == max(shape.layers) - 1
            self._blocks.append(
                _Block(
                    query=Linear([query], buffers, "query") if apart else None,
                    inputs=Linear([value], buffers, "values") if apart else Linear([query, value], buffers, "inputs"),
                    keys=Linear([(key[0], None)], buffers, "keys"),
                    out=Linear([pair(f"{at}attention.output.dense", size, size)], buffers, "out"),
                    middle=pair(f"{at}attention.output.LayerNorm", size),
                    up=Linear([pair(f"{at}intermediate.dense", inner, size)], buffers, "up"),
                    down=Linear([pair(f"{at}output.dense", size, inner)], buffers, "down"),
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
        import torch

        count = len(inputs)
        if self._on_cpu and count < self._rows:
            # So that products have the same rows, and a token's bits do not depend on its batch.
            inputs = torch.cat([inputs, inputs[:1].expand(self._rows - count, -1)])
        ids = inputs.T
        once, each = self._places(ids)
        rows = self._embed(ids, once, each)
        states = _spread(rows, once, each, len(inputs))  # (T, b, D): the rows of a position lie together
        place, depth = self._shape.place, len(self._blocks)
        found = []
        for number in range(depth + 1):
            if number:
                block = self._blocks[number - 1]
                wanted = slice(place, place + 1) if number == depth else slice(None)
                seen = self._see(block, states, wanted, (rows, once, each) if number == 1 and once else None)
                states = self._think(block, seen, states[wanted])
            if number in self._shape.layers:
                # The next layer overwrites them, and a part would keep all positions in memory.
                found.append(states[place if len(states) > 1 else 0, :count].clone())
        return found

    def _places(self, ids: Any) -> tuple[list[int], list[int]]:
        """Return the positions whose rows are the template's, the same for all tokens, and the others.

        The former begin with 0, or are none. RoBERTa does not count `<pad>`: in the token's place, it moves the
        positions behind it.
        """
        place, padding = self._shape.place, self._architecture.padding
        moved = place == 0 or (padding is not None and bool((ids[place] == padding).any()))
        each = [*range(place, len(ids))] if moved else [place]
        return [at for at in range(len(ids)) if at not in each], each

    def _embed(self, ids: Any, once: list[int], each: list[int]) -> Any:
        """Return the embeddings' output: a row for each position of `once`, then those of each of `each`."""
        import torch

        if self._architecture.padding is None:
            positions = torch.arange(len(ids), device=ids.device)[:, None].expand(ids.shape)
        else:
            real = (ids != self._architecture.padding).long()
            positions = real.cumsum(0) * real + self._architecture.padding
        ids, positions = (torch.cat([of[once, 0], of[each].flatten()]) for of in (ids, positions))
        return self._normalise(self._words[ids] + self._types[0] + self._positions[positions], self._norm)

    def _see(
        self, block: "_Block", states: Any, wanted: slice, embedded: tuple[Any, list[int], list[int]] | None
    ) -> Any:
        """Return what a layer's heads see at t positions: (t, b, D).

        Args:
            block: the layer.
            states: (T, b, D), its input.
            wanted: the positions; the token's alone in the last layer.
            embedded: the same as `_embed` returned it, with its positions, where the first layer gets by with less.
        """
        size = states.shape[1]
        if embedded is None:
            projected, keys = block.inputs(states), block.keys(states[1:] - states[0])
        else:
            rows, once, each = embedded
            projected = _spread(block.inputs(rows), once, each, size)
            behind = [at - 1 for at in once[1:]], [at - 1 for at in each]
            keys = _spread(block.keys(rows[1:] - rows[0]), *behind, size)
        *asking, value = projected.chunk(projected.shape[-1] // states.shape[-1], -1)  # (T, b, D) each
        query = asking[0][wanted] if block.query is None else block.query(states[wanted])
        return self._attend(query, keys, value)

    def _think(self, block: "_Block", seen: Any, states: Any) -> Any:
        """Return a layer's output, (t, b, D), of what its heads saw and its input at the same positions."""
        import torch

        states = self._normalise(block.out(seen, states), block.middle)
        inner = block.up(states)
        gelu: Any = torch.nn.functional.gelu  # its type does not tell of `out`
        gelu(inner, approximate=self._architecture.approximate, out=inner)
        return self._normalise(block.down(inner, states), block.end)

    def _attend(self, query: Any, keys: Any, value: Any) -> Any:
        """Return what the heads saw, (t, b, D), of queries (t, b, D), keys (T - 1, b, D) and values (T, b, D).

        A softmax does not see what all scores have in common: keys less the first position's give the same weights, and
        their bias none; the first one's score is 0.

        With keys so few, whole rows at once are faster on a CPU than torch's kernel, which goes from head to head; one
        query at a time, as what a core's cache holds.
        """
        import torch

        count, size, width = query.shape
        heads = self._architecture.heads
        by_head = (-1, size, heads, width // heads)
        if not self._on_cpu:
            keys = torch.cat([torch.zeros_like(value[:1]), keys])
            parts = (states.reshape(by_head).permute(1, 2, 0, 3) for states in (query, keys, value))  # (b, H, T, d)
            seen = torch.nn.functional.scaled_dot_product_attention(*parts)
            return seen.permute(2, 0, 1, 3).reshape(query.shape)
        products, scores = torch.empty_like(keys), query.new_zeros(count, len(value), size, heads, 1)
        by_product = products.view(-1, width // heads)
        for one, found in zip(query.unbind(), scores[:, 1:].flatten(1).unbind(), strict=True):
            torch.mul(one, keys, out=products)
            torch.mv(by_product, self._scale, out=found)
        weights = torch.softmax(scores, 1).unbind(1)
        values = value.reshape(by_head).unbind()
        seen = weights[0] * values[0]
        for weight, part in zip(weights[1:], values[1:], strict=True):
            seen.addcmul_(weight, part)
        return seen.view(query.shape)

    def _normalise(self, states: Any, norm: tuple[Any, Any]) -> Any:
        import torch

        return torch.layer_norm(states, states.shape[-1:], *norm, self._architecture.epsilon)


def _spread(rows: Any, once: list[int], each: list[int], size: int) -> Any:
    """Return (T, b, n) of `_embed`'s rows, (…, n)."""
    states = rows.new_empty(len(once) + len(each), size, rows.shape[-1])
    for at, part in zip(once + each, (*rows[: len(once)], *rows[len(once) :].split(size)), strict=True):
        states[at] = part
    return states


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
        inputs: to queries and values, or to the latter.
        keys: to keys; without a bias, as it takes differences of states.
        out: of the attention.
        middle: norm behind it.
        up, down: of the feed-forward part.
        end: norm behind it.
    """

    query: Linear | None
    inputs: Linear
    keys: Linear
    out: Linear
    middle: tuple[Any, Any]
    up: Linear
    down: Linear
    end: tuple[Any, Any]
