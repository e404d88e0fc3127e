"""The provenance of a store, and whether a store was built with the settings of a plan."""

import json
import shlex
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from kotovec import __version__
from kotovec.cluster.plan import Plan
from kotovec.cluster.settings import ENVIRONMENT, OF_TABLE, OF_TOKENS
from kotovec.cluster.tables import TABLES, about
from kotovec.errors import SettingsDifferError, WorkerError
from kotovec.space import IN_PART, PROTOTYPES, Space
from kotovec.store.layout import SHARDS
from kotovec.store.sentences import keeps_text
from kotovec.store.vectors import Vectors

_APART = "use --overwrite to build again, or --store to name another path"
_TOKENS, _LISTED = "the tokens of a vocabulary, not words of a list", "words of a list, not the tokens of a vocabulary"
_SAID = {
    "weights": "the model's weights differ",
    "config": "the model's config.json differs",
    "tokenizer": "the model's tokenizer files differ",
    "tokens": "the list of tokens differs",
    "words": "the list of words differs",
    "sentence": "the sentence of --template differs",
    "sample": "the sentences of the corpus differ",
    "contexts-from": "its contexts did not come from that store",
    "static": "the static vectors come from elsewhere, or were part of the shards, as in an earlier version",
}


@dataclass(frozen=True)
class Machine:
    """A machine that computed a shard: its name, CPU or GPU, and `Encoded.products`; `earlier` of a run before."""

    host: str
    cpu: str
    products: str
    earlier: bool = False

    def __str__(self) -> str:
        return f"{self.host} ({self.cpu})"


def provenance(plan: Plan, started: datetime, tokenizer_files: dict[str, str]) -> dict[str, Any]:
    """Return the attributes of `tokens.h5` that record where the tokens came from.

    Args:
        plan: plan of the build.
        started: when the last run of the build began.
        tokenizer_files: SHA-256 of each file of the store's tokenizer, by its path.
    """
    source = plan.model.source
    return {
        "model": source.name,
        "model_folder": "" if source.repository else str(source.folder),
        "revision": source.revision or "",
        "weights_sha256": plan.settings["weights"],
        "tokens_sha256": plan.settings["tokens"],
        "tokenizer_sha256": plan.settings["tokenizer"],
        "tokenizer_files": json.dumps(tokenizer_files, sort_keys=True),
        "template_prefix": np.asarray(plan.settings["template"][0], dtype=np.int64),
        "template_suffix": np.asarray(plan.settings["template"][1], dtype=np.int64),
        "bos": plan.bos,
        "mecab_dic": plan.mecab_dic or "",
        "mecab_assumed": plan.mecab_assumed,
        "rows_without_token": plan.rows_without_token,
        "tokens_without_row": plan.tokens_without_row,
        "rowless": json.dumps({str(number): text for number, text in plan.rowless.items()}),
        "token_filter": plan.settings["token-filter"],
        "tokens_filtered_out": sum(plan.counts.values()) - len(plan.tokens),
        "notices": "\n".join(plan.notices),
        **({} if plan.words is None else {"words": json.dumps(plan.words.about, sort_keys=True)}),
        "settings": json.dumps(
            {name: plan.settings[name] for name in OF_TOKENS if name in plan.settings}, sort_keys=True
        ),
        "versions": json.dumps(_versions()),
        "command": shlex.join(sys.argv),
        "started": started.isoformat(timespec="seconds"),
    }


def made(plan: Plan, space: Space, started: datetime) -> dict[str, Any]:
    """Return how the vectors of a space were made, as JSON-ready values for its file."""
    if space in TABLES:
        how = {"dtype": "float32", "tensor": plan.settings[space.name]}
        how |= {} if plan.matrices is None else about(plan.matrices, space)
        names = {*OF_TABLE, space.name}
    else:
        how = {"dtype": plan.spec.dtype, "device": plan.spec.device, "forward": plan.settings["forward"]}
        how["depth"] = plan.spec.depth
        others = () if space.name == PROTOTYPES else (PROTOTYPES,)  # the means are the same without them
        names = plan.settings.keys() - {*OF_TOKENS, "layers", "static", "output", *others}
    return {
        **how,
        "settings": {name: value for name, value in plan.settings.items() if name in names},
        "versions": _versions(),
        "command": shlex.join(sys.argv),
        "started": started.isoformat(timespec="seconds"),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _versions() -> dict[str, str]:
    names = ("torch", "transformers", "tokenizers", "ray", "h5py", "numpy")
    return {"kotovec": __version__, "python": sys.version.split()[0], **{name: version(name) for name in names}}


def check_products(folder: Path, machine: Machine, first: Machine | None) -> Machine:
    """Refuse a shard from a machine that computes other bits than the first one; return the first.

    Machines of several kinds may work together as long as their products are equal.

    Raises:
        SettingsDifferError: the first machine was that of an earlier run.
        WorkerError: both are of this run.
    """
    if first is None or machine.products == first.products:
        return first or machine
    if first.earlier:
        raise SettingsDifferError(
            f"{folder} was begun on {first}, and {machine} computes other bits",
            hint="resume on the same kind of processor with the same variables, or use --store to name another path",
        )
    raise WorkerError(
        f"{machine} computes other bits than {first}",
        hint="use machines of one kind, with the same variables; the same command resumes on those like the first",
    )


def check_begun(folder: Path, begun: dict[str, Any], plan: Plan) -> None:
    """Refuse to resume a build that was begun with other settings.

    Raises:
        SettingsDifferError: names every setting that differs.
    """
    if ("positions" in begun) != ("positions" in plan.settings):
        raise SettingsDifferError(
            f"{folder} has an unfinished build of {'contexts' if 'positions' in begun else 'other spaces'}",
            hint=f"run its own command first, or delete {folder / SHARDS}",
        )
    if begun != plan.settings:
        raise _difference(folder, "begun", begun, plan.settings)


def check_finished(folder: Path, vectors: Vectors, plan: Plan) -> None:
    """Refuse a complete store that was built with other settings than the plan's.

    Where it was built (device, versions) does not matter: the vectors exist, and no space would mix two origins.

    Raises:
        SettingsDifferError: names every setting that differs; or a space cannot be added to a store of format 1.
    """
    tokens = vectors.settings()
    if str(tokens.get("weights")).startswith(IN_PART) and not plan.in_part:
        raise SettingsDifferError(
            f"{folder} holds tables alone, of a checkpoint that was not read as a whole", hint=_APART
        )
    ours = {name: plan.settings.get(name) for name in OF_TOKENS}
    theirs = {name: tokens.get(name) for name in OF_TOKENS}
    alike_ours, alike_theirs = _of_alike(folder, vectors, plan)
    ours |= alike_ours
    theirs |= alike_theirs
    for space in plan.spaces:
        if space in vectors.spaces:
            wanted = made(plan, space, datetime.now(UTC))["settings"]
            stored = vectors.settings(space)
            if _same_batches(wanted, stored):
                wanted["shard-tokens"] = stored["shard-tokens"]
            for name in wanted.keys() - {*ENVIRONMENT, "format"}:
                ours[name], theirs[name] = wanted[name], stored.get(name)
    if ours != theirs:
        raise _difference(folder, "built", theirs, ours)
    missing = [str(space) for space in plan.spaces if space not in vectors.spaces]
    if missing and vectors.is_former:
        raise SettingsDifferError(
            f"{folder} is a store of format 1, to which {', '.join(missing)} cannot be added",
            hint=_APART,
        )


def _of_alike(folder: Path, vectors: Vectors, plan: Plan) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what all layers of the plan's hidden states share, as planned and as stored: a sentence, or a sample."""
    alike = next((space for space in vectors.spaces if space.name == plan.spec.space), None)
    if alike is None:
        return {}, {}
    names = {"sentence", "sample"} & plan.settings.keys()
    if plan.drawn is not None:
        if plan.drawn.sampling.keep_text and not keeps_text(vectors):
            raise SettingsDifferError(f"{folder} was built without --keep-text", hint=_APART)
        names |= plan.drawn.sampling.settings.keys()
    stored = vectors.settings(alike)
    return {name: plan.settings[name] for name in names}, {name: stored.get(name) for name in names}


def _same_batches(wanted: dict[str, Any], stored: dict[str, Any]) -> bool:
    """Return whether shards of another size, as many layers need them, hold batches of the same size as before.

    Another device has other batches and is no other setting.
    """
    if "shard-tokens" not in wanted or not {"shard-tokens", "batch-tokens"} <= stored.keys():
        return False
    if wanted["device"] != stored.get("device"):
        return True
    most = stored["batch-tokens"]
    return bool(min(wanted["shard-tokens"], most) == min(stored["shard-tokens"], most))


def _text(value: Any) -> str:
    """Return a setting as a person would write it."""
    if isinstance(value, list):
        return ",".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


def _difference(folder: Path, done: str, old: dict[str, Any], new: dict[str, Any]) -> SettingsDifferError:
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    said = dict(_SAID)
    if "words" in names:  # which the tokens follow
        names = [name for name in names if name != "tokens"]
        if None in (old.get("words"), new.get("words")):
            names = [name for name in names if name != "pooling"]
            said["words"] = f"it holds {_TOKENS if old.get('words') is None else _LISTED}"
    parts = [said.get(name) or f"{name} was {_text(old.get(name))}, now {_text(new.get(name))}" for name in names]
    return SettingsDifferError(f"{folder} was {done} with other settings ({'; '.join(parts)})", hint=_APART)
