"""What of a checkpoint a forward pass would leave out: each such tensor is of a head, or the model is refused."""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from kotovec.errors import ModelError
from kotovec.workers.json_files import DOWNLOAD
from kotovec.workers.source import Source
from kotovec.workers.tensors import WRAPPERS, names_in

BEFORE = "choose the model that was quantised, in float32, float16 or bfloat16"
# Masks and counters, which a model computes itself.
_BUFFER = re.compile(
    r"(^|\.)(position_ids|token_type_ids|inv_freq|masked_bias|attn\.bias|attention\.bias|num_batches_tracked)$"
)
# Heads, by the first part of their names, in checkpoints whose encoder has no prefix. Elsewhere, everything outside the
# encoder is one.
_HEAD = re.compile(
    r"cls|classifier|classification_head|pre_classifier|decoder|dense|discriminator_predictions|entity_predictions|"
    r"generator_(lm_head|predictions)|head|linear|lm_(head|loss)|mask_predictions|pooler|predictions|projection|"
    r"qa_outputs|score|sequence_summary|seq_relationship|vocab_(layer_norm|projector|transform)"
)
_FLOATS = ("F64", "F32", "F16", "BF16", "float64", "float32", "float16", "bfloat16")
# Settings that change what a model computes, and that transformers ignores where a class does not have them.
_SETTINGS = ("position_embedding_type", "alibi", "use_alibi", "alibi_starting_size", "rotary_emb_base", "use_rope")


def check_tensors(source: Source, left_out: Iterable[str], names: Collection[str], prefix: str, parts: Any) -> None:
    """Check that what a forward pass leaves out of a checkpoint is of no importance for hidden states.

    Args:
        source: the model.
        left_out: names of the tensors that are not read.
        names: names of all tensors in the checkpoint.
        prefix: prefix of the encoder's names in a checkpoint with a head, such as `bert.`.
        parts: names of the encoder's own parts, such as `embeddings`.

    Raises:
        ModelError: a tensor of the encoder is not read; the message names it.
    """
    within = prefix if any(name.startswith(prefix) for name in names) else ""
    unread = sorted(name for name in left_out if not _is_unimportant(name, within, parts))
    if unread:
        others = f" and {len(unread) - 1} more" if len(unread) > 1 else ""
        raise ModelError(
            f"the weights of {source.name} hold {unread[0]}{others}, which the model of its config.json does not read: "
            "the vectors would be another model's",
            hint="check config.json, and that no code of the model's own computes it",
        )


def check_names(source: Source, names: Iterable[str]) -> None:
    """Check that no tensor is still named for what a model was wrapped in while it was trained.

    Some are where `tensors.unwrapped` could not tell the model's own names: two would be equal, or only some have it.

    Raises:
        ModelError: one is; the message names the wrapper and the tensor.
    """
    for name in names:
        parts = name.split(".")
        found = next((part for part in parts if part in WRAPPERS), "module" if parts[0] == "module" else None)
        if found is not None:
            raise ModelError(
                f"the tensors of {source.name} are named for a wrapper of the model, `{found}` ({name})",
                hint=f"save the model inside it, or the tensors without `{found}.` in their names",
            )


def refuse_lacking(source: Source, missing: Collection[str], names: Collection[str]) -> ModelError:
    """Return the error about parameters that a checkpoint lacks.

    Args:
        source: the model.
        missing: names of the parameters.
        names: names of all tensors in the checkpoint.
    """
    first = min(missing)
    lacking = f"the weights of {source.name} lack {len(missing)} of the model's parameters ({first}, …)"
    longer = next((name for name in sorted(names) if name.endswith(f".{first}")), None)
    if longer is not None:
        prefix = longer.removesuffix(first)
        return ModelError(
            f"{lacking}, and hold them under other names ({longer})",
            hint=f"save the tensors without `{prefix}` in their names",
        )
    return ModelError(
        f"{lacking}, which would be random", hint="check that its config.json is not that of another model"
    )


def check_parts(source: Source) -> None:
    """Check that no tensor stands in two of the files into which the weights are split.

    Their index names one of the two, transformers reads the one in the last file: silently another model's vectors
    where an older file was left beside new ones, or a file of another checkpoint is used again.

    Raises:
        ModelError: a tensor does, and the message names it.
    """
    paths, homes = source.weights(), dict[str, str]()
    for path in paths if len(paths) > 1 else ():
        names = names_in(path)
        if twice := sorted(names & homes.keys()):
            raise ModelError(
                f"the weights of {source.name} hold {twice[0]} twice, in {homes[twice[0]]} and in {path.name}",
                hint=DOWNLOAD,
            )
        homes |= dict.fromkeys(names, path.name)


def check_dtypes(source: Source, dtypes: Mapping[str, str]) -> None:
    """Check that all weights are numbers as they stand.

    Raises:
        ModelError: some are integers, or of 8 bits: without their scale, they are not the model's weights.
    """
    for name, dtype in dtypes.items():
        if dtype not in _FLOATS and name.endswith(("weight", "bias")) and not _BUFFER.search(name):
            raise ModelError(
                f"the weights of {source.name} are quantised ({name} is {dtype}), which kotovec does not read",
                hint=BEFORE,
            )


def check_settings(source: Source, config: Any) -> None:
    """Check that nothing beside the weights changes what the model computes where transformers would not follow it.

    Raises:
        ModelError: a quantisation, or a setting that the model's class does not have.
    """
    if quantised := getattr(config, "quantization_config", None):
        method = quantised.get("quant_method") if isinstance(quantised, dict) else None
        raise ModelError(
            f"{source.name} is quantised ({method or 'quantization_config'}), which kotovec does not read",
            hint=BEFORE,
        )
    for name in _SETTINGS:
        value = getattr(config, name, None)
        if value and value != "absolute" and not hasattr(type(config)(), name):
            raise ModelError(
                f"config.json of {source.name} says {name} {value!r}, which transformers' {config.model_type} does not "
                "follow: the vectors would be another model's",
                hint="choose a model that transformers knows without code of its own",
            )


def _is_unimportant(name: str, within: str, parts: Collection[str]) -> bool:
    if _BUFFER.search(name):
        return True
    first = name.removeprefix(within).partition(".")[0]
    if first in parts:
        return first == "pooler"
    return not name.startswith(within) if within else _HEAD.fullmatch(first) is not None
