"""Whether a store is what a build would make, seen without torch and transformers, whose imports take seconds.

Nothing here refuses a store: where anything differs, or cannot be seen, the plan decides.
"""

import contextlib
import os
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from kotovec.cluster.build import Summary
from kotovec.cluster.events import Notice, Report, ignore
from kotovec.cluster.remaining import lacking_index
from kotovec.cluster.request import Request, parse_layers
from kotovec.cluster.wordlist import hash_file
from kotovec.errors import KotovecError
from kotovec.space import STATIC, Space
from kotovec.store.layout import Layout
from kotovec.store.tokens import KINDS
from kotovec.store.vectors import Vectors
from kotovec.workers import source as sources
from kotovec.workers.json_files import read_json
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
    if request.spaces != Request.spaces or not request.bos or request.template is not None:  # the plan decides
        return False
    layout = Layout(store)
    # Of a build that runs, or was killed.
    leftovers = (layout.shards, layout.former, layout.aside, layout.rebuild, layout.lock)
    if not layout.is_store or any(map(os.path.lexists, leftovers)):
        return False
    try:
        source = sources.resolve(request.model, request.revision)
        with contextlib.closing(Vectors(layout.folder)) as vectors:
            return (
                _has_spaces_of(request, vectors, source)
                and not lacking_index(vectors, layout)
                and _has_tokens_of(request, vectors, source)
            )
    except (KotovecError, OSError, ValueError, KeyError):
        return False


def _has_tokens_of(request: Request, vectors: Vectors, source: sources.Source) -> bool:
    """Return whether the tokens are those of the requested model: files, filter, dictionary, and what read them."""
    stored, versions = vectors.settings(), vectors.table("versions")
    if not stored["template"][0]:  # of a decoder, before which the plan may put a token
        return False
    return (
        stored["token-filter"] == ",".join(sorted(set(request.token_filter), key=KINDS.index))
        and all(versions.get(name) == version(name) for name in _READERS)
        and _is_same_dictionary(request, vectors, source.folder)
        and _has_words_of(request, vectors)
        and stored["config"] == sources.hash_config(source)
        and stored["tokenizer"] == sources.hash_tokenizer(source)
        and stored["weights"] == sources.hash_weights(source)
    )


def _has_words_of(request: Request, vectors: Vectors) -> bool:
    """Return whether the words are those of the requested file, pooled in the same way; or none in both."""
    about = vectors.table("words")
    if not isinstance(request.words, Path):
        return request.words is None and not about
    asked = {"column": request.words_column or "", "pooling": request.pooling or POOLINGS[0]}
    return asked.items() <= about.items() and hash_file(request.words) == about["sha256"]


def _is_same_dictionary(request: Request, vectors: Vectors, folder: Path) -> bool:
    """Return whether the plan would take the dictionary of MeCab that the store was built with."""
    stored = vectors.settings()["mecab-dic"]
    if request.mecab_dic is not None or stored is None:
        return bool(request.mecab_dic == stored)
    if vectors.attributes.get("mecab_assumed"):  # it was not asked for then either
        return True
    named = read_json(folder / "tokenizer_config.json").get("mecab_kwargs") or {}
    return bool(named.get("mecab_dic") == stored)


def _has_spaces_of(request: Request, vectors: Vectors, source: sources.Source) -> bool:
    """Return whether the layers are there, computed with the requested settings."""
    layers = parse_layers(request.layers, read_json(source.folder / "config.json")["num_hidden_layers"])
    spaces = [Space("isolated", layer) for layer in layers]
    return {STATIC, *spaces} <= set(vectors.spaces) and all(
        _is_made(request, vectors.settings(space)) for space in spaces
    )


def _is_made(request: Request, stored: dict[str, Any]) -> bool:
    most = stored["batch-tokens"]  # larger shards are cut into the same batches, and so are those of the default
    asked = most if request.shard_tokens is None else min(request.shard_tokens, most)
    same_dtypes = (stored["dtype"], stored["store-dtype"]) == (request.dtype, request.store_dtype)
    return same_dtypes and min(stored["shard-tokens"], most) == asked
