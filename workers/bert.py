"""BERT's forward pass for what a vocabulary is: sequences of one length, of which one position is wanted.

The arithmetic is that of transformers' BertModel and RobertaModel, to which tests hold it (1e-5), with what such
sequences do not need left out: masks, all positions but one of the last layer wanted, the layers above it, the
template's rows in the first layer but once, one position's keys (together 14 % of MiniLM's products, 9 % of
BERT-base's), and transformers itself, whose BertModel takes 5.8 CPU-seconds to import where torch takes 2.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kotovec.workers.linear import Linear

_ACTIVATIONS = {"gelu": "none", "gelu_new": "tanh", "gelu_pytorch_tanh": "tanh"}
_KINDS = {"bert": "bert.", "roberta": "roberta.", "xlm-roberta": "roberta.", "camembert": "roberta."}
_LAYER = "encoder.layer.{}."
_ROWS = 16  # a vector register's: those behind the last full one are computed otherwise
FORWARD = "kotovec BERT 6"  # counted up with every change of its last bits: shards of two are not mixed


@dataclass(frozen=True)
class Architecture:
    """What the tensors do not tell.

    Attributes:
        prefix: of the tensors' names in a checkpoint with a head, such as `bert.`.
        depth: the last layer.
        size, inner: of the hidden states, and between a layer's last two products.
        positions, types: rows of their embeddings.
        heads: of the attention.
        epsilon: of the layer norms.
        approximate: how gelu is computed, in torch's words.
        padding: id of `<pad>` where positions are counted from there on, as RoBERTa does; None where from 0 on.
    """

    prefix: str
    depth: int
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
        depth=int(config.num_hidden_layers),
        size=int(config.hidden_size),
        inner=int(config.intermediate_size),
        positions=int(config.max_position_embeddings),
        types=int(config.type_vocab_size),
        heads=int(config.num_attention_heads),
        epsilon=float(config.layer_norm_eps),
        approximate=_ACTIVATIONS[config.hidden_act],
        padding=None if kind == "bert" else int(config.pad_token_id),
    )


def lack(shapes: Mapping[str, tuple[int, ...]], architecture: Architecture) -> str | None:
    """Return what a checkpoint has otherwise than its config says: a tensor and both shapes; None where all is there.

    Args:
        shapes: of its tensors, by their names without a head.
        architecture: from its config.
    """
    size, inner = architecture.size, architecture.inner
    wanted = {
        "embeddings.word_embeddings.weight": (shapes.get("embeddings.word_embeddings.weight", (0,))[0], size),
        "embeddings.position_embeddings.weight": (architecture.positions, size),
        "embeddings.token_type_embeddings.weight": (architecture.types, size),
        **_pair("embeddings.LayerNorm", size),
    }
    for number in range(architecture.depth):
        layer = _LAYER.format(number)
        for name in ("query", "key", "value"):
            wanted |= _pair(f"{layer}attention.self.{name}", size, size)
        wanted |= _pair(f"{layer}attention.output.dense", size, size)
        wanted |= _pair(f"{layer}attention.output.LayerNorm", size)
        wanted |= _pair(f"{layer}intermediate.dense", inner, size)
        wanted |= _pair(f"{layer}output.dense", size, inner)
        wanted |= _pair(f"{layer}output.LayerNorm", size)
    for name, shape in wanted.items():
        if shapes.get(name) != shape:
            return f"{name} is {shapes.get(name, 'not there')}, by config.json {shape}"
    return None


def _pair(name: str, *size: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": size, f"{name}.bias": size[:1]}


class Bert:
    """A BERT-like model; for one thread, and in torch's inference mode.

    Shapes at the lines: T positions of b sequences, D dimensions; the rows of a position lie together.

    Attributes:
        name: of the code that computes.
        static: (rows, D) float32, the input embeddings.
    """

    name = FORWARD

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
            tensors: from `read_tensors`; `lack` has found nothing wrong with them.
            architecture: of the model.
            shape: of what it will be asked.
            dtype: of torch, to compute in.
            device: `cpu` or `cuda`.
        """
        import torch

        def take(name: str) -> Any:
            return tensors[name].to(dtype=dtype, device=device)

        def pair(name: str) -> tuple[Any, Any]:
            return take(f"{name}.weight"), take(f"{name}.bias")

        self._architecture, self._shape = architecture, shape
        self._words = take("embeddings.word_embeddings.weight")
        self._on_cpu = device == "cpu" and dtype == torch.float32
        width = architecture.size // architecture.heads
        self._scale = torch.full((width,), width**-0.5, dtype=dtype, device=device)
        self._rows = -(-shape.batch // _ROWS) * _ROWS
        self.static = self._words if self._on_cpu else tensors["embeddings.word_embeddings.weight"].float()
        self._positions = take("embeddings.position_embeddings.weight")
        self._types = take("embeddings.token_type_embeddings.weight")
        self._norm = pair("embeddings.LayerNorm")
        buffers: dict[str, Any] = {}
        self._layers = []
        for number in range(max(shape.layers)):
            layer = _LAYER.format(number)
            query, key, value = (pair(f"{layer}attention.self.{name}") for name in ("query", "key", "value"))
            apart = 0 < number == max(shape.layers) - 1
            self._layers.append(
                _Layer(
                    query=Linear([query], buffers, "query") if apart else None,
                    inputs=Linear([value], buffers, "values") if apart else Linear([query, value], buffers, "inputs"),
                    keys=Linear([(key[0], None)], buffers, "keys"),
                    attention_output=Linear([pair(f"{layer}attention.output.dense")], buffers, "attention output"),
                    attention_norm=pair(f"{layer}attention.output.LayerNorm"),
                    intermediate=Linear([pair(f"{layer}intermediate.dense")], buffers, "intermediate"),
                    output=Linear([pair(f"{layer}output.dense")], buffers, "output"),
                    output_norm=pair(f"{layer}output.LayerNorm"),
                )
            )

    def states(self, inputs: Any) -> list[Any]:
        """Return the wanted layers' hidden states of the token at its position.

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
        ids = inputs.T  # (T, b)
        shared, varying = self._split_positions(ids)
        rows = self._embed(ids, shared, varying)
        states = _spread(rows, shared, varying, len(inputs))  # (T, b, D)
        position, depth = self._shape.position, len(self._layers)
        found = []
        for number in range(depth + 1):
            if number:
                layer = self._layers[number - 1]
                wanted = slice(position, position + 1) if number == depth else slice(None)
                embedded = (rows, shared, varying) if number == 1 and shared else None
                states = self._feed_forward(layer, self._attention(layer, states, wanted, embedded))
            if number in self._shape.layers:
                # The next layer overwrites them, and a part would keep all positions in memory.
                found.append(states[position if len(states) > 1 else 0, :count].clone())
        return found

    def _split_positions(self, ids: Any) -> tuple[list[int], list[int]]:
        """Return the positions whose rows are the template's, the same for all tokens, and the others.

        The former begin with 0, or are none. RoBERTa does not count `<pad>`: in the token's position, it moves those
        behind it.
        """
        position, padding = self._shape.position, self._architecture.padding
        moved = position == 0 or (padding is not None and bool((ids[position] == padding).any()))
        varying = [*range(position, len(ids))] if moved else [position]
        return [index for index in range(len(ids)) if index not in varying], varying

    def _embed(self, ids: Any, shared: list[int], varying: list[int]) -> Any:
        """Return the embeddings' output: a row for each shared position, then b rows for each varying one."""
        import torch

        if self._architecture.padding is None:
            positions = torch.arange(len(ids), device=ids.device)[:, None].expand(ids.shape)
        else:
            real = (ids != self._architecture.padding).long()
            positions = real.cumsum(0) * real + self._architecture.padding
        ids, positions = (torch.cat([of[shared, 0], of[varying].flatten()]) for of in (ids, positions))
        return self._normalise(self._words[ids] + self._types[0] + self._positions[positions], self._norm)

    def _attention(
        self, layer: "_Layer", states: Any, wanted: slice, embedded: tuple[Any, list[int], list[int]] | None
    ) -> Any:
        """Return a layer's attention at t positions, added to its input and normalised: (t, b, D).

        Args:
            layer: the layer.
            states: (T, b, D), its input.
            wanted: the positions; the token's alone in the last layer.
            embedded: the same as `_embed` returned it, with its positions, where the first layer gets by with less.
        """
        size = states.shape[1]
        if embedded is None:
            projected, keys = layer.inputs(states), layer.keys(states[1:] - states[0])
        else:
            rows, shared, varying = embedded
            projected = _spread(layer.inputs(rows), shared, varying, size)
            behind = [index - 1 for index in shared[1:]], [index - 1 for index in varying]
            keys = _spread(layer.keys(rows[1:] - rows[0]), *behind, size)
        *first, value = projected.chunk(projected.shape[-1] // states.shape[-1], -1)  # (T, b, D) each
        query = first[0][wanted] if layer.query is None else layer.query(states[wanted])  # (t, b, D)
        context = self._scaled_dot_product(query, keys, value)  # (t, b, D)
        return self._normalise(layer.attention_output(context, states[wanted]), layer.attention_norm)

    def _feed_forward(self, layer: "_Layer", states: Any) -> Any:
        """Return a layer's output, (t, b, D), of its attention's."""
        import torch

        inner = layer.intermediate(states)  # (t, b, F)
        gelu: Any = torch.nn.functional.gelu  # its type does not tell of `out`
        gelu(inner, approximate=self._architecture.approximate, out=inner)
        return self._normalise(layer.output(inner, states), layer.output_norm)

    def _scaled_dot_product(self, query: Any, keys: Any, value: Any) -> Any:
        """Return the heads' attention, (t, b, D), of queries (t, b, D), keys (T - 1, b, D) and values (T, b, D).

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
            context = torch.nn.functional.scaled_dot_product_attention(*parts)
            return context.permute(2, 0, 1, 3).reshape(query.shape)
        products, scores = torch.empty_like(keys), query.new_zeros(count, len(value), size, heads, 1)
        by_product = products.view(-1, width // heads)  # ((T - 1) b H, d)
        for one, score in zip(query.unbind(), scores[:, 1:].flatten(1).unbind(), strict=True):
            torch.mul(one, keys, out=products)
            torch.mv(by_product, self._scale, out=score)
        weights = torch.softmax(scores, 1).unbind(1)  # (t, b, H, 1) for each key
        values = value.reshape(by_head).unbind()  # (b, H, d) for each key
        context = weights[0] * values[0]
        for weight, part in zip(weights[1:], values[1:], strict=True):
            context.addcmul_(weight, part)
        return context.view(query.shape)

    def _normalise(self, states: Any, norm: tuple[Any, Any]) -> Any:
        import torch

        return torch.layer_norm(states, states.shape[-1:], *norm, self._architecture.epsilon)


def _spread(rows: Any, shared: list[int], varying: list[int], size: int) -> Any:
    """Return (T, b, n) of `_embed`'s rows, (…, n)."""
    states = rows.new_empty(len(shared) + len(varying), size, rows.shape[-1])
    parts = (*rows[: len(shared)], *rows[len(shared) :].split(size))
    for position, part in zip(shared + varying, parts, strict=True):
        states[position] = part
    return states


@dataclass(frozen=True)
class Sequences:
    """What a model will be asked.

    Attributes:
        layers: which hidden states are wanted, ascending; 0 is the embeddings' output.
        position: of the token in a sequence.
        length: of a sequence.
        batch: sequences at once, at most.
    """

    layers: tuple[int, ...]
    position: int
    length: int
    batch: int


@dataclass(frozen=True)
class _Layer:
    """A layer's products and norms.

    Attributes:
        query: of the last layer, where only the token's position asks; else None.
        inputs: to queries and values, or to the latter.
        keys: to keys; without a bias, as it takes differences of states.
        attention_output: of all heads.
        attention_norm: behind it.
        intermediate, output: of the feed-forward part.
        output_norm: behind it.
    """

    query: Linear | None
    inputs: Linear
    keys: Linear
    attention_output: Linear
    attention_norm: tuple[Any, Any]
    intermediate: Linear
    output: Linear
    output_norm: tuple[Any, Any]
