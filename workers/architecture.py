"""What a model of BERT's kind is built like: from its config, and whether a checkpoint has the tensors for it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_ACTIVATIONS = {"gelu": "none", "gelu_new": "tanh", "gelu_pytorch_tanh": "tanh"}
_KINDS = {"bert": "bert.", "roberta": "roberta.", "xlm-roberta": "roberta.", "camembert": "roberta."}
LAYER = "encoder.layer.{}."


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

    @property
    def longest(self) -> int:
        """How many positions a sequence has at most."""
        return self.positions - (0 if self.padding is None else self.padding + 1)


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
        layer = LAYER.format(number)
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
