"""Which tensors of a checkpoint are the input embeddings and the output matrix, for any architecture, without weights.

transformers says it of a model without weights where it knows the architecture; the tensors' own names and shapes
decide which of them is meant, and alone where it does not. Whether the two are tied is read from the tensors:
config.json says so of many models whose matrices differ.
"""

import hashlib
import json
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from kotovec.errors import ModelError
from kotovec.space import IN_PART
from kotovec.workers import norms, ranges, remote, scale
from kotovec.workers.model import Model
from kotovec.workers.norms import Norm
from kotovec.workers.ranges import Stored
from kotovec.workers.source import Source

# The ends of the names of input embeddings and of output matrices, the usual ones first.
_INPUTS = (
    "shared.weight",
    "embed_tokens.weight",
    "wte.weight",
    "word_embeddings.weight",
    "tok_embeddings.weight",
    "embed_in.weight",
    "tokens_embed.weight",
    "token_embedding.weight",
    "word_embedding.weight",
    "embeddings.weight",
    "embedding.weight",
)
_OUTPUTS = (
    "lm_head.weight",
    "lm_head.decoder.weight",
    "predictions.decoder.weight",
    "embed_out.weight",
    "output_layer.weight",
    "output.weight",
    "vocab_projector.weight",
    "generator_lm_head.weight",
    "lm_loss.weight",
    "proj_out.weight",
    "decoder.weight",
    "head.weight",
)
_OTHER_TOWER = re.compile(r"vis|image|audio|speech|patch|pixel|position|token_type|codec")
# What stands between the hidden states and the output matrix, by the names of its tensors.
_BEFORE = re.compile(
    r"(?:^|\.)(cls\.predictions\.transform|lm_head\.dense|vocab_transform|predictions\.dense|head\.dense"
    r"|generator_predictions\.dense|lm_head\.lm_head_dense|project_out|mask_predictions\.dense)(?:\.|$)"
)
_BIAS = re.compile(r"(?:^|\.)(lm_head\.bias|predictions\.bias|final_logits_bias|decoder\.bias|vocab_projector\.bias)$")
_SIZES = ("hidden_size", "n_embd", "d_model")
_TWO = "its output is two matrices side by side, and one of them is the input"
_APART = "its decoder has other tokens than its encoder, and the output is theirs"
_STATIC = "build `static` alone: --spaces static"
_WHOLE = "choose a checkpoint with its head, such as one whose class ends in ForCausalLM"


@dataclass(frozen=True)
class Matrices:
    """The two matrices of a checkpoint that have a row per token.

    Attributes:
        model: the model.
        input: the input embeddings; their rows are `static`.
        output: the matrix that gives logits; None where the checkpoint has none, or where it is the input.
        tied: why the output is the input, in words; empty where it is another matrix, or where there is none.
        lacking: why there is no output matrix, in words; empty where there is one.
        before: what stands between the hidden states and the output: the name of its tensors; empty for a plain one.
        bias: the name of the bias that is added to the logits; empty without one.
        scale: the number that the logits are multiplied by before that, and what it comes from; empty for none.
        norm: the norm after the last layer, which hidden states of other layers lack; None where it is not known.
        notices: messages for the user.
        identity: what identifies the weights where nothing but tables is read of them; see `identify`.
    """

    model: Model
    input: Stored
    output: Stored | None
    identity: str
    tied: str = ""
    lacking: str = ""
    before: str = ""
    bias: str = ""
    scale: str = ""
    norm: Norm | None = None
    notices: tuple[str, ...] = field(default=())

    @property
    def head(self) -> Stored:
        """The tensor whose rows are `output`.

        Raises:
            ModelError: there is none.
        """
        if self.lacking:
            hint = _STATIC if self.lacking in (_TWO, _APART) else _WHOLE
            raise ModelError(f"{self.model.name} has no output matrix: {self.lacking}", hint=hint)
        return self.output or self.input


def find(model: Model) -> Matrices:
    """Find both matrices of a checkpoint; reads the headers of its weights, and the matrices where both are there.

    Raises:
        ModelError: the weights are damaged, or names and shapes do not tell which tensor is the input.
    """
    return _Search(model).found()


class _Search:
    """The search for the matrices of one model."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.tensors = tensors_of(model.source)
        self.matrices = {name: each for name, each in self.tensors.items() if len(each.shape) == 2}  # noqa: PLR2004
        self.outline = _outline(model)
        config = model.described
        text = config.get_text_config() if hasattr(config, "get_text_config") else config
        raw = model.config.get("text_config")
        self.text = text if getattr(text, "vocab_size", None) or not isinstance(raw, dict) else type(text)(**raw)

    def found(self) -> Matrices:
        """Return what was found.

        Raises:
            ModelError: as `find`.
        """
        own = self._input()
        head = self._output(own)
        if own is None and head is not None and self._says_tied:
            own = head  # saved under one of the two names
        if own is None:
            raise ModelError(
                f"{self.model.name} has no input embeddings that its tensors' names tell",
                hint="open an issue that names this model",
            )
        tied, lacking = self._tie(own, head)
        before = self._named(_BEFORE)
        bias = self._named(_BIAS, whole=True) or ("" if self.outline is None else self.outline.bias)
        size = (own if head is None else head).shape[1]
        wide = self._width(size)
        if not before and wide != size:
            before = f"a projection of {wide} dimensions to {size}"
        return Matrices(
            model=self.model,
            input=own,
            output=None if tied or lacking else head,
            identity=identify(self.tensors),
            tied=tied,
            lacking=lacking,
            before="" if lacking else before,
            bias="" if lacking else bias,
            scale="" if lacking else scale.find(self.model.described, self.text),
            norm=None if lacking or before else self._norm(size),
            notices=self._notices(own),
        )

    @property
    def _says_tied(self) -> bool:
        """Whether the model's class, or else its config alone, says that the output is the input."""
        return self.model.config.get("tie_word_embeddings") is True if self.outline is None else self.outline.tied

    def _width(self, size: int) -> int:
        """Return the number of dimensions of the hidden states."""
        return next((int(each) for name in _SIZES if isinstance(each := getattr(self.text, name, None), int)), size)

    def _input(self) -> Stored | None:
        outline = self.outline
        return self._pick(outline.inputs if outline else (), _INPUTS, "input embedding matrix")

    def _output(self, own: Stored | None) -> Stored | None:
        """Return the tensor of the output, where the checkpoint holds one under a name of its own.

        One that is found by the end of its name alone has at least half as many rows as the input: a classifier's
        head is named alike.
        """
        outline = self.outline
        names = (
            () if outline is None or outline.output is None else (outline.output, f"{outline.prefix}.{outline.output}")
        )
        if outline is not None and outline.output is None and not outline.is_bare:
            return None
        rows = getattr(self.text, "vocab_size", None) if own is None else own.shape[0]
        return self._pick(names, _OUTPUTS, "output matrix", rows // 2 if isinstance(rows, int) else 0)

    def _pick(self, names: Iterable[str], ends: Sequence[str], what: str, least: int = 0) -> Stored | None:
        """Return the tensor that names, or the ends of names, tell; None where there is none.

        Raises:
            ModelError: they tell several that differ.
        """
        for name in names:
            if name in self.matrices:
                return self.matrices[name]
        rows = getattr(self.text, "vocab_size", None)
        for end in ends:
            alike = [
                each
                for name, each in self.matrices.items()
                if (name == end or name.endswith(f".{end}"))
                and not _OTHER_TOWER.search(name)
                and each.shape[0] >= least
            ]
            exact = [each for each in alike if each.shape[0] == rows] or alike
            if exact:
                first = min(exact, key=lambda each: (each.name.count("."), each.name))
                others = [each for each in exact if each is not first]
                if differing := [each for each in others if not ranges.equal(self.model.source, first, each)]:
                    raise ModelError(
                        f"{self.model.name} has several candidates for its {what}: {first.name}, {differing[0].name}",
                        hint="open an issue that names this model",
                    )
                return first
        return None

    def _tie(self, own: Stored, head: Stored | None) -> tuple[str, str]:
        """Return why the output is the input, and why there is no output; at most one is not empty."""
        if refused := self._refused():
            return "", refused
        if head is own:
            return f"the checkpoint holds {own.name} alone", ""
        if head is not None:
            same = own.is_plain and head.is_plain and ranges.equal(self.model.source, own, head)
            return (f"{head.name} equals {own.name} bit for bit" if same else ""), ""
        outline = self.outline
        if outline is not None and outline.output is None:
            return "", f"{outline.kind} gives no logits"
        if not self._says_tied:
            said = "none of its tensors is named as one"
            return "", said if outline is None else f"its checkpoint lacks {outline.output}"
        return "the checkpoint holds no matrix of its own for it", ""

    def _refused(self) -> str:
        """Return why the output of some architectures has no row per token; empty for all others."""
        text = self.text
        if text.model_type == "mobilebert" and text.embedding_size != text.hidden_size:
            return _TWO
        if getattr(text, "share_encoder_decoder_embeddings", True) is False:  # Marian with two vocabularies
            return _APART
        return ""

    def _named(self, pattern: re.Pattern[str], *, whole: bool = False) -> str:
        """Return the first part, or the whole, of a tensor's name that a pattern finds; empty without one."""
        found = ((name, match) for name in self.tensors if (match := pattern.search(name)))
        name, match = next(found, ("", None))
        return "" if match is None else name if whole else match[1]

    def _norm(self, size: int) -> Norm | None:
        if self.outline is None:
            return None
        return norms.find(self.outline.model, self.tensors, size)

    def _notices(self, own: Stored) -> tuple[str, ...]:
        notices = []
        rows = getattr(self.text, "vocab_size", None)
        if isinstance(rows, int) and rows != own.shape[0]:
            notices.append(
                f"config.json says {rows:,} tokens, {own.name} has {own.shape[0]:,} rows: the rows are taken"
            )
        if quantised := self.model.config.get("quantization_config"):
            method = quantised.get("quant_method") if isinstance(quantised, dict) else None
            notices.append(f"the layers of this checkpoint are quantised ({method or 'somehow'}), its tables are not")
        return tuple(notices)


def tensors_of(source: Source) -> Mapping[str, Stored]:
    """Return all tensors of a model's weights by their names, here or on the Hub; no weights are read.

    Raises:
        ModelError: there are no weights, or a header is damaged.
    """
    if source.repository is not None and source.remote:
        files = remote.files(source.repository, source.revision, source.remote)
        return {name: each for file in files for name, each in ranges.read_header(file, source.name).items()}
    return ranges.local_tensors(source, source.weights())


def identify(tensors: Mapping[str, Stored]) -> str:
    """Return what identifies weights of which only tables are read: names, shapes, dtypes and places of all tensors.

    Two models may share it, of which one was trained further: that their tables differ is found by comparing them.
    """
    listed = sorted((each.name, each.dtype, each.shape, each.begin) for each in tensors.values())
    return IN_PART + hashlib.sha256(json.dumps(listed).encode()).hexdigest()


@dataclass(frozen=True)
class _Outline:
    """What transformers says of a model without weights.

    Attributes:
        model: the model, on the meta device.
        kind: name of its class.
        prefix: prefix of its names in a checkpoint with a head.
        is_bare: whether config.json names no class, so that the model has no head although the checkpoint may.
    """

    model: Any
    kind: str
    prefix: str
    is_bare: bool

    @cached_property
    def tied(self) -> bool:
        """Whether the input is the output by the model's class and its config."""
        head = self.model.get_output_embeddings()
        return head is not None and head.weight is self.model.get_input_embeddings().weight

    @cached_property
    def output(self) -> str | None:
        """Name of the output matrix; None where the class has none."""
        head = self.model.get_output_embeddings()
        names = (name for name, module in self.model.named_modules(remove_duplicate=False) if module is head)
        return None if head is None else next((f"{name}.weight" for name in names), None)

    @cached_property
    def bias(self) -> str:
        """Name of the bias of the output; empty without one."""
        head = self.model.get_output_embeddings()
        has = self.output is not None and getattr(head, "bias", None) is not None
        return f"{self.output.removesuffix('weight')}bias" if has and self.output is not None else ""

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """Names that the input embeddings may have in a checkpoint."""
        matrix = self.model.get_input_embeddings().weight
        every = self.model.named_parameters(remove_duplicate=False)
        names = [name for name, parameter in every if parameter is matrix and name != self.output]
        stripped = [name.removeprefix(f"{self.prefix}.") for name in names]
        return tuple(dict.fromkeys([*names, *stripped, *(f"{self.prefix}.{name}" for name in names if self.prefix)]))


def _outline(model: Model) -> _Outline | None:
    """Return a model without weights, of the class that config.json names; None where transformers has none of it."""
    import torch
    import transformers

    try:
        config = model.loaded_config
    except ModelError:
        return None
    named = next(iter(config.architectures or ()), "")
    kind = getattr(transformers, named, None) if named.isidentifier() else None
    own = isinstance(kind, type) and issubclass(kind, transformers.PreTrainedModel)
    make: Callable[[Any], Any] = transformers.AutoModel.from_config
    if own and kind is not None:
        make = kind._from_config  # noqa: SLF001 — transformers' own way to a model without weights
    with warnings.catch_warnings(), torch.device("meta"):
        warnings.simplefilter("ignore")
        try:
            found = make(config)
            found.get_input_embeddings().weight.shape  # noqa: B018 — some classes have none
        except Exception:  # noqa: BLE001 — transformers raises anything here, and the names still tell
            return None
    return _Outline(found, type(found).__name__, found.base_model_prefix, not own)
