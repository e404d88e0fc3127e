"""BERT's forward pass: sequences of one length, of which some positions are wanted.

The arithmetic is that of transformers' BertModel and RobertaModel; tests compare them (1e-5). It omits what such
sequences do not need: masks; in the last wanted layer, all positions but the wanted ones; the layers above it; and
transformers itself, whose BertModel takes 5.8 CPU-seconds to import where torch takes 2. For a token alone in its
template it also computes the template's rows in the first layer only once, and omits one position's keys. Together with
the last layer's positions, that saves 14 % of MiniLM's products and 9 % of BERT-base's.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from kotovec.errors import InputError
from kotovec.workers.architecture import LAYER, WORDS, Architecture
from kotovec.workers.devices import fused_attention, to_device
from kotovec.workers.inputs import Batch
from kotovec.workers.linear import Linear

_ROWS = 16  # rows of a vector register: those after the last full one are computed otherwise
_CHUNK = 64  # rows of the last layer per product, as sentences have any number of wanted positions
FORWARD = "kotovec BERT 6"  # increases with every change of the last bits: shards of two versions are not mixed


class Bert:
    """A BERT-like model, for use by one thread and in torch's inference mode.

    In float32 on a CPU, batches are padded to one size, so that all products have the same number of rows and the bits
    of a sequence do not depend on its batch; not those of a plan that fixes its batches, of which a corpus of 500
    sentences would fill up three quarters.

    Shapes in the comments: T positions of b sequences, D dimensions, F in the feed-forward part, H heads of d
    dimensions each. For tokens alone in their template, the rows of one position are contiguous, (T, b, D); for
    sentences, those of one sequence, (b T, D).

    Attributes:
        name: name of the code that computes.
        rows: number of rows of the input embedding matrix.
    """

    name = FORWARD

    def __init__(
        self,
        tensors: Mapping[str, Any],
        architecture: Architecture,
        layers: Sequence[int],
        positions: int,
        dtype: Any,
        device: str,
    ) -> None:
        """Take the tensors that are needed from a checkpoint.

        Args:
            tensors: tensors from `read_tensors` in which `lack` has found no error.
            architecture: architecture of the model.
            layers: which hidden states are wanted, ascending; 0 is the embeddings' output.
            positions: approximate rows times length of a batch, by which batches are cut.
            dtype: torch dtype of the computation.
            device: `cpu` or `cuda`.
        """
        import torch

        def take(name: str) -> Any:
            return tensors[name].to(dtype=dtype, device=device)

        def pair(name: str) -> tuple[Any, Any]:
            return take(f"{name}.weight"), take(f"{name}.bias")

        self._architecture, self._wanted, self._budget, self._device = architecture, tuple(layers), positions, device
        self._words = take(WORDS)
        self.rows = len(self._words)
        self._on_cpu = device == "cpu" and dtype == torch.float32
        self._fused = fused_attention() if device == "cuda" else None
        width = architecture.size // architecture.heads
        self._scale = torch.full((width,), width**-0.5, dtype=dtype, device=device)
        self._positions = take("embeddings.position_embeddings.weight")
        self._types = take("embeddings.token_type_embeddings.weight")
        self._norm = pair("embeddings.LayerNorm")
        buffers: dict[str, Any] = {}
        self._layers = []
        for number in range(max(layers, default=0)):
            layer = LAYER.format(number)
            query, key, value = (pair(f"{layer}attention.self.{name}") for name in ("query", "key", "value"))
            apart = 0 < number == max(layers) - 1
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

    def states(self, batch: Batch) -> list[Any]:
        """Return the wanted layers' hidden states at the wanted positions.

        Args:
            batch: b sequences of one length, of which k positions are wanted.

        Returns:
            An array (k, D) for each layer, in the dtype of the computation.

        Raises:
            InputError: the sequences are longer than the model has positions.
        """
        length = batch.ids.shape[1]
        if length > self._architecture.longest:
            raise InputError(
                f"a sequence has {length} tokens, but the model has {self._architecture.longest} positions"
            )
        ids = to_device(batch.ids, self._device)
        if batch.position is not None:
            return self._isolated(ids, batch.position)
        wanted = to_device(batch.rows * length + batch.positions, self._device)
        return self._sentences(ids if batch.is_fixed else self._filled(ids, self._sequences(length)), wanted)

    def brief(self) -> Self:
        """Return a model of only the first two layers and the last: all kinds of this model's products, none twice."""
        model, last = copy.copy(self), len(self._layers) - 1
        layers = [layer for number, layer in enumerate(self._layers) if number in (0, 1, last)]
        vars(model).update(_layers=layers, _wanted=tuple(range(len(layers) + 1)))
        return model

    def _isolated(self, ids: Any, position: int) -> list[Any]:
        """Return the result of `states` for tokens alone in their template, (b, T), at their position."""
        count, depth = len(ids), len(self._layers)
        ids = self._filled(ids, -(-self._sequences(ids.shape[1]) // _ROWS) * _ROWS).T  # (T, b)
        shared, varying = self._split_positions(ids, position)
        rows = self._embed(ids, shared, varying)  # (n, D)
        states = _spread(rows, shared, varying, ids.shape[1])  # (T, b, D)
        found = []
        for number in range(depth + 1):
            if number:
                layer = self._layers[number - 1]
                wanted = slice(position, position + 1) if number == depth else slice(None)
                embedded = (rows, shared, varying) if number == 1 and shared else None
                context = self._template_attention(layer, states, wanted, embedded)  # (t, b, D)
                states = self._feed_forward(layer, context, states[wanted])  # (t, b, D), t = 1 in the last layer
            if number in self._wanted:
                # A copy: the next layer overwrites the states, and a view would keep all positions in memory.
                found.append(states[position if len(states) > 1 else 0, :count].clone())  # (k, D)
        return found

    def _sentences(self, ids: Any, wanted: Any) -> list[Any]:
        """Return the result of `states` for any sequences, (b, T), at any positions, (k,) indices of all b T."""
        import torch

        length, depth = ids.shape[1], len(self._layers)
        flat, positions = ids.flatten(), self._position_ids(ids.T).T.flatten()  # (b T,) each
        count = len(flat)
        fill = torch.arange(-(-count // _ROWS) * _ROWS if self._on_cpu else count, device=ids.device) % count
        states = self._embedded(flat[fill], positions[fill])  # (b T, D), filled up
        found = [states[wanted]] if 0 in self._wanted else []  # (k, D) each
        for number, layer in enumerate(self._layers, 1):
            context = self._sentence_attention(layer, states, (-1, length), count)  # (b T, D), filled up
            if number < depth:
                states = self._feed_forward(layer, context, states)  # (b T, D), filled up
                if number in self._wanted:
                    found.append(states[wanted])
                continue
            chunk = _CHUNK if self._on_cpu else len(wanted)
            some = self._filled(wanted, -(-len(wanted) // chunk) * chunk).split(chunk)
            parts = [self._feed_forward(layer, context[part], states[part]) for part in some]  # (chunk, D) each
            found.append(torch.cat(parts)[: len(wanted)])
        return found

    def _sequences(self, length: int) -> int:
        """Return the maximum number of sequences of a length in a batch, as `Inputs.batches` cuts them."""
        return max(1, self._budget // length)

    def _filled(self, rows: Any, size: int) -> Any:
        """Return rows, (n, …), padded with the first row to `size` rows where bits would otherwise depend on n."""
        import torch

        lacking = size - len(rows) if self._on_cpu else 0
        return torch.cat([rows, rows[:1].expand(lacking, *rows.shape[1:])]) if lacking > 0 else rows

    def _split_positions(self, ids: Any, position: int) -> tuple[list[int], list[int]]:
        """Return the positions whose rows are the template's, the same for all tokens, and the others.

        The former begin with 0, or are empty. RoBERTa does not count `<pad>`: as the token, it changes the positions
        after it.
        """
        padding = self._architecture.padding
        moved = position == 0 or (padding is not None and bool((ids[position] == padding).any()))
        varying = [*range(position, len(ids))] if moved else [position]
        return [index for index in range(len(ids)) if index not in varying], varying

    def _embed(self, ids: Any, shared: list[int], varying: list[int]) -> Any:
        """Return the embeddings' output: one row for each shared position, then b rows for each varying one."""
        import torch

        found = (torch.cat([of[shared, 0], of[varying].flatten()]) for of in (ids, self._position_ids(ids)))
        return self._embedded(*found)

    def _position_ids(self, ids: Any) -> Any:
        """Return the positions of ids, both (T, b); RoBERTa starts after the id of `<pad>`, and skips `<pad>`."""
        import torch

        if self._architecture.padding is None:
            return torch.arange(len(ids), device=ids.device)[:, None].expand(ids.shape)
        real = (ids != self._architecture.padding).long()
        return real.cumsum(0) * real + self._architecture.padding

    def _embedded(self, ids: Any, positions: Any) -> Any:
        """Return the embeddings' output, (n, D), of ids and their positions, both (n,)."""
        return self._normalise(self._words[ids] + self._types[0] + self._positions[positions], self._norm)

    def _template_attention(
        self, layer: "_Layer", states: Any, wanted: slice, embedded: tuple[Any, list[int], list[int]] | None
    ) -> Any:
        """Return the heads' attention at t positions, (t, b, D).

        Args:
            layer: the layer.
            states: (T, b, D), the layer's input.
            wanted: the t positions; in the last layer that of the token alone.
            embedded: the same input as `_embed` returned it, with its shared and varying positions, where the first
                layer needs fewer rows; else None.
        """
        size = states.shape[1]
        if embedded is None:
            projected, keys = layer.inputs(states), layer.keys(states[1:] - states[0])  # keys: (T - 1, b, D)
        else:
            rows, shared, varying = embedded
            projected = _spread(layer.inputs(rows), shared, varying, size)
            behind = [index - 1 for index in shared[1:]], [index - 1 for index in varying]
            keys = _spread(layer.keys(rows[1:] - rows[0]), *behind, size)
        *first, value = projected.chunk(projected.shape[-1] // states.shape[-1], -1)  # (T, b, D) each
        query = first[0][wanted] if layer.query is None else layer.query(states[wanted])  # (t, b, D)
        return self._scaled_dot_product(query, keys, value)

    def _sentence_attention(self, layer: "_Layer", states: Any, shape: tuple[int, int], count: int) -> Any:
        """Return the heads' attention, (n, D), of a layer's input, (n, D), whose first `count` rows are sequences."""
        import torch

        projected = layer.inputs(states)  # (n, D) or (n, 2 D)
        *first, value = projected.chunk(projected.shape[-1] // states.shape[-1], -1)  # (n, D) each
        query = first[0] if layer.query is None else layer.query(states)
        heads = (*shape, self._architecture.heads, states.shape[-1] // self._architecture.heads)
        parts = (
            of[:count].reshape(heads).transpose(1, 2)  # (b, H, T, d)
            for of in (query, layer.keys(states), value)
        )
        context = torch.nn.functional.scaled_dot_product_attention(*parts)  # (b, H, T, d)
        found = torch.zeros_like(states)
        found[:count].view(heads).copy_(context.transpose(1, 2))
        return found

    def _feed_forward(self, layer: "_Layer", context: Any, states: Any) -> Any:
        """Return a layer's output, (…, D), from its heads' attention and its input, which is overwritten."""
        import torch

        states = self._normalise(layer.attention_output(context, states), layer.attention_norm)  # (…, D)
        inner = layer.intermediate(states)  # (…, F)
        gelu: Any = torch.nn.functional.gelu  # its type lacks `out`
        gelu(inner, approximate=self._architecture.approximate, out=inner)
        return self._normalise(layer.output(inner, states), layer.output_norm)

    def _scaled_dot_product(self, query: Any, keys: Any, value: Any) -> Any:
        """Return the heads' attention, (t, b, D), of queries (t, b, D), keys (T - 1, b, D) and values (T, b, D).

        A softmax ignores a constant that all scores share. Keys minus the first position's therefore give the same
        weights, need no bias, and leave the first position's score at 0.

        With so few keys, products of whole rows are faster on a CPU than torch's kernel, which processes head by head.
        They take one query at a time, as this fits a core's cache. A GPU has a kernel of its own for them.
        """
        import torch

        count, size, width = query.shape
        heads = self._architecture.heads
        by_head = (-1, size, heads, width // heads)
        if self._fused is not None:
            return self._fused(query, keys, value, heads)
        if not self._on_cpu:
            keys = torch.cat([torch.zeros_like(value[:1]), keys])
            parts = (states.reshape(by_head).permute(1, 2, 0, 3) for states in (query, keys, value))  # (b, H, T, d)
            context = torch.nn.functional.scaled_dot_product_attention(*parts)
            return context.permute(2, 0, 1, 3).reshape(query.shape)
        products, scores = torch.empty_like(keys), query.new_zeros(count, len(value), size, heads, 1)
        by_product = products.view(-1, width // heads)  # ((T - 1) b H, d)
        for row, score in zip(query.unbind(), scores[:, 1:].flatten(1).unbind(), strict=True):
            torch.mul(row, keys, out=products)  # (T - 1, b, D)
            torch.mv(by_product, self._scale, out=score)
        weights = torch.softmax(scores, 1).unbind(1)  # (t, b, H, 1) for each key
        values = value.reshape(by_head).unbind()  # (b, H, d) for each key
        context = weights[0] * values[0]  # (t, b, H, d)
        for weight, part in zip(weights[1:], values[1:], strict=True):
            context.addcmul_(weight, part)
        return context.view(query.shape)

    def _normalise(self, states: Any, norm: tuple[Any, Any]) -> Any:
        import torch

        return torch.layer_norm(states, states.shape[-1:], *norm, self._architecture.epsilon)


def _spread(rows: Any, shared: list[int], varying: list[int], size: int) -> Any:
    """Return the rows of `_embed`, (…, n), repeated for all sequences, (T, b, n)."""
    states = rows.new_empty(len(shared) + len(varying), size, rows.shape[-1])
    parts = (*rows[: len(shared)], *rows[len(shared) :].split(size))
    for position, part in zip(shared + varying, parts, strict=True):
        states[position] = part
    return states


@dataclass(frozen=True)
class _Layer:
    """The products and norms of a layer.

    Attributes:
        query: product that gives queries in the last layer, where only the token's position may need one; else None.
        inputs: product that gives queries and values; values alone where `query` is not None.
        keys: product that gives keys, without their bias, which adds the same to all scores of a query.
        attention_output: product of the attention of all heads.
        attention_norm: norm after `attention_output`.
        intermediate, output: products of the feed-forward part.
        output_norm: norm after `output`.
    """

    query: Linear | None
    inputs: Linear
    keys: Linear
    attention_output: Linear
    attention_norm: tuple[Any, Any]
    intermediate: Linear
    output: Linear
    output_norm: tuple[Any, Any]
