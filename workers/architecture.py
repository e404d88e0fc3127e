"""The architecture of a BERT-like model, from its config, and whether a checkpoint has the tensors for it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_ACTIVATIONS = {"gelu": "none", "gelu_new": "tanh", "gelu_pytorch_tanh": "tanh"}
_KINDS = {"bert": "bert.", "roberta": "roberta.", "xlm-roberta": "roberta.", "camembert": "roberta."}
LAYER = "encoder.layer.{}."
WORDS = "embeddings.word_embeddings.weight"  # the input embedding matrix
PARTS = ("embeddings", "encoder", "pooler")


@dataclass(frozen=True)
class Architecture:
    """The architecture of a BERT-like model, which its tensors alone do not define.

    Attributes:
        prefix: prefix of the tensors' names in a checkpoint with a head, such as `bert.`.
        depth: number of the last layer.
        size, inner: dimensions of the hidden states, and of the feed-forward part between its two products.
        positions, types: numbers of rows of the position and token-type embeddings.
        heads: number of attention heads.
        epsilon: epsilon of the layer norms.
        approximate: torch's name of the approximation of gelu.
        padding: id of `<pad>` where positions start after it, as in RoBERTa; None where they start at 0.
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
        """Maximum number of positions in a sequence."""
        return self.positions - (0 if self.padding is None else self.padding + 1)


def architecture_of(config: Any) -> Architecture | None:
    """Return the architecture in a config of transformers; None where kotovec's own forward pass cannot compute it."""
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


def encoder_alone(config: Any) -> Any | None:
    """Return transformers' class for a checkpoint with the encoder of an encoder-decoder alone; None for any other.

    It is `T5EncoderModel` in sentence-t5, whose config is that of all T5: AutoModel would make a decoder of nothing.
    """
    import transformers

    name = next(iter(config.architectures or ()), "")
    own = getattr(transformers, name, None) if name.endswith("EncoderModel") and name.isidentifier() else None
    return own if own is not None and own.config_class is type(config) else None


def lack(shapes: Mapping[str, tuple[int, ...]], architecture: Architecture) -> str | None:
    """Return where a checkpoint differs from its config, as a tensor and both shapes; None where all tensors match.

    Args:
        shapes: shapes of the checkpoint's tensors, by their names without a head.
        architecture: the architecture from the checkpoint's config.
    """
    for name, shape in _wanted(architecture, shapes.get(WORDS, (0,))[0]).items():
        if shapes.get(name) != shape:
            return f"{name} is {shapes.get(name, 'not there')}, by config.json {shape}"
    return None


def read_names(architecture: Architecture) -> frozenset[str]:
    """Return the names of the tensors that the forward pass reads."""
    return frozenset(_wanted(architecture, 0))


def _wanted(architecture: Architecture, rows: int) -> dict[str, tuple[int, ...]]:
    """Return the names and shapes of the tensors of an architecture with some rows of word embeddings."""
    size, inner = architecture.size, architecture.inner
    wanted: dict[str, tuple[int, ...]] = {
        WORDS: (rows, size),
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
    return wanted


def _pair(name: str, *size: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": size, f"{name}.bias": size[:1]}
