"""Whether a store is what a build would make, seen without torch and transformers, whose imports take seconds.

Nothing here refuses a store: where anything differs, or cannot be seen, the plan decides.
"""

import contextlib
import os
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from kotovec.cluster.build import Summary
from kotovec.cluster.events import Notice, Report, ignore
from kotovec.cluster.remaining import lacking_index
from kotovec.cluster.request import Request, parse_layers
from kotovec.cluster.tables import TABLES, Chosen
from kotovec.cluster.wordlist import Wordlist, hash_file
from kotovec.errors import KotovecError
from kotovec.space import IN_PART, PROTOTYPES, Space
from kotovec.store.layout import Layout
from kotovec.store.sentences import keeps_text
from kotovec.store.tokens import KINDS
from kotovec.store.vectors import Vectors
from kotovec.workers import source as sources
from kotovec.workers.json_files import read_json
from kotovec.workers.matrices import identify, tensors_of
from kotovec.workers.pooling import POOLINGS

# They list the tokens and find the template: with another version, either may differ.
_READERS = ("kotovec", "transformers", "tokenizers")


def find_finished(request: Request, store: Path, report: Report = ignore) -> Summary | None:
    """Return the summary of a store that a request would build and that is complete; None if the plan must decide.

    Args:
        request: what would be built.
        store: the folder of the store.
        report: called with the notices of its build.

    Raises:
        InputError: a value of the request is unknown or out of range.
    """
    begin = time.monotonic()
    request.check()
    if not is_finished(request, store.resolve()):
        return None
    with contextlib.closing(Vectors(store)) as vectors:
        tokens, notices = len(vectors.tokens), str(vectors.attributes.get("notices") or "")
    for text in filter(None, notices.splitlines()):
        report(Notice(text))
    seconds, unit = {"plan": time.monotonic() - begin}, "token" if request.words is None else "word"
    return Summary(store, tokens, unit, seconds=seconds, bytes=Layout(store.resolve()).size, finished_before=True)


def is_finished(request: Request, store: Path) -> bool:
    """Return whether a store is certainly complete, and built from this model with these settings.

    Args:
        request: the request of the user, with valid values.
        store: the folder of the store.
    """
    layout = Layout(store)
    # Of a build that runs, or was killed.
    leftovers = (layout.shards, layout.former, layout.aside, layout.rebuild, layout.lock)
    if not layout.is_store or any(map(os.path.lexists, leftovers)):
        return False
    try:
        chosen = request.chosen
        source = sources.resolve(request.model, request.revision, tables=chosen.layers is None)
        with contextlib.closing(Vectors(layout.folder)) as vectors:
            return (
                _has_tables_of(chosen, vectors)
                and _has_layers_of(request, chosen, vectors, source)
                and (chosen.layers is None or not lacking_index(vectors, layout))
                and _has_tokens_of(request, vectors, source)
                and _has_weights_of(chosen, vectors, source)
            )
    except (KotovecError, OSError, ValueError, LookupError, TypeError, StopIteration):
        return False


def _has_tables_of(chosen: Chosen, vectors: Vectors) -> bool:
    """Return whether the tables are there; what is tied to one is stored with it."""
    stored = {*vectors.spaces, *vectors.spaces.tied}
    return stored.issuperset(chosen.tables) and all(vectors.made(table) for table in chosen.tables)


def _has_tokens_of(request: Request, vectors: Vectors, source: sources.Source) -> bool:
    """Return whether the tokens are those of the requested model: files, filter, dictionary, and what read them."""
    stored, versions = vectors.settings(), vectors.table("versions")
    return (
        stored["token-filter"] == ",".join(sorted(set(request.token_filter), key=KINDS.index))
        and all(versions.get(name) == version(name) for name in _READERS)
        and _has_template_of(request, vectors)
        and _is_same_dictionary(request, vectors, source.folder)
        and _has_words_of(request, vectors)
        and stored["config"] == sources.hash_config(source)
        and stored["tokenizer"] == sources.hash_tokenizer(source)
    )


def _has_template_of(request: Request, vectors: Vectors) -> bool:
    """Return whether the plan would find the template of the store, which begins with a token of its own or not."""
    bos, begins = vectors.attributes.get("bos"), bool(vectors.settings()["template"][0])
    if bos is None:  # of an earlier version, which did not record whether a token was to be put before a decoder's
        return request.bos and begins
    # With that, a template that begins with nothing has nothing to begin with; without it, one that begins with a
    # token is the tokenizer's own.
    return bool(bos) == request.bos or begins != bool(bos)


def _has_words_of(request: Request, vectors: Vectors) -> bool:
    """Return whether the words are those of the requested list, pooled in the same way; or none in both."""
    about, words = vectors.table("words"), request.words
    if words is None or not about:
        return words is None and not about
    if about["pooling"] != (request.pooling or POOLINGS[0]):
        return False
    if isinstance(words, Wordlist):
        return bool(vectors.settings()["words"] == words.digest)
    return bool(about["column"] == (request.words_column or "") and about["sha256"] == hash_file(words))


def _has_weights_of(chosen: Chosen, vectors: Vectors, source: sources.Source) -> bool:
    """Return whether the weights are the requested ones: all of them, or the tensors of which tables were read."""
    stored, in_part = str(vectors.settings()["weights"]), chosen.layers is None
    if in_part and not _lists_rows_of(stored, vectors, source):
        return False
    return (in_part and stored.startswith(IN_PART)) or stored == sources.hash_weights(source)


def _lists_rows_of(weights: str, vectors: Vectors, source: sources.Source) -> bool:
    """Return whether a build of any of the tables would list the tokens of the store: those that have a row of it."""
    names = source.remote or [path.name for path in source.weights()]
    if not all(name.endswith(".safetensors") for name in names):  # torch reads them
        return False
    tensors = tensors_of(source)
    rows = {tensors[vectors.made(space)["tensor"]].shape[0] for space in vectors.spaces if space in TABLES}
    if weights.startswith(IN_PART):
        return len(rows) == 1 and weights == identify(tensors)
    if vectors.table("words").get("too_long"):  # for the positions of the model, which its tables have not
        return False
    return rows == {read_json(source.folder / "config.json")["vocab_size"]}


def _is_same_dictionary(request: Request, vectors: Vectors, folder: Path) -> bool:
    """Return whether the plan would take the dictionary of MeCab that the store was built with."""
    stored = vectors.settings()["mecab-dic"]
    if request.mecab_dic is not None or stored is None:
        return bool(request.mecab_dic == stored)
    if vectors.attributes.get("mecab_assumed"):  # it was not asked for then either
        return True
    named = read_json(folder / "tokenizer_config.json").get("mecab_kwargs") or {}
    return bool(named.get("mecab_dic") == stored)


def _has_layers_of(request: Request, chosen: Chosen, vectors: Vectors, source: sources.Source) -> bool:
    """Return whether the layers are there, computed with the requested settings; tables alone need none."""
    if chosen.layers is None:
        return True
    depth = read_json(source.folder / "config.json").get("num_hidden_layers")
    if depth is None:  # such as `n_layer` of GPT-2: the config, which is compared as well, gave the store this number
        depth = next(vectors.made(space)["depth"] for space in vectors.spaces if space.name == chosen.states)
    spaces = [Space(chosen.states, layer) for layer in parse_layers(chosen.layers, int(depth))]
    return (
        set(spaces) <= set(vectors.spaces)
        and _has_prototypes_of(request, spaces, vectors)
        and _are_made(request, [vectors.settings(space) for space in spaces])
        and (not request.keep_text or keeps_text(vectors))
    )


def _has_prototypes_of(request: Request, spaces: Sequence[Space], vectors: Vectors) -> bool:
    """Return whether the prototypes in some layers are there, as many of each item and of the same contexts."""
    if request.prototypes is None:
        return True
    divided = [Space(PROTOTYPES, space.layer) for space in spaces]
    if not set(divided) <= set(vectors.spaces):
        return False
    stored = [vectors.settings(space) for space in divided]
    return all(each[PROTOTYPES] == request.prototypes for each in stored) and _are_made(request, stored)


def _are_made(request: Request, stored: Sequence[dict[str, Any]]) -> bool:
    """Return whether the settings of some spaces are those of the request."""
    dtypes = request.dtype, request.store_dtype
    if any((each["dtype"], each["store-dtype"]) != dtypes for each in stored):
        return False
    if (sampling := request.sampling) is not None:
        wanted = sampling.settings
        return all(wanted == {name: each.get(name) for name in wanted} for each in stored)
    return all(_is_cut_alike(request, each) and each.get("sentence") == request.template for each in stored)


def _is_cut_alike(request: Request, stored: dict[str, Any]) -> bool:
    most = stored["batch-tokens"]  # larger shards are cut into the same batches, and so are those of the default
    asked = most if request.shard_tokens is None else min(request.shard_tokens, most)
    return bool(min(stored["shard-tokens"], most) == asked)
