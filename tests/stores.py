"""Makes small stores from given tokens and vectors, through kotovec's own writer, shard and index code."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kotovec.space import Space
from kotovec.store import Store, index
from kotovec.store.contexts import Sample, Texts, offsets_of, write_contexts
from kotovec.store.layout import Layout
from kotovec.store.nearest import Metric
from kotovec.store.shard import Shard, write_shard
from kotovec.store.tokens import Marking, Tokens, describe
from kotovec.store.vectors import Vectors
from kotovec.store.writer import write_space, write_tokens, writing_space

FINGERPRINT = "f" * 64
OF_SPACES = ("dtype", "device", "finished")  # of a provenance, what the files of spaces hold
# What a vocabulary may hold.
ODD = [
    "<script>window.hit = 1</script>",
    "</script><script>window.hit = 1</script>",
    "<img src=x onerror='window.hit = 1'>",
]
ODD += ["${window.hit = 1}", "<!--", "王", "女", "ﾈｺ", "a\u2028b", "May", "may", "a▁queen", "▁queen"]


def make_tokens(
    texts: Sequence[str],
    *,
    ids: Sequence[int] | None = None,
    special: Sequence[str] = (),
    marking: Marking = Marking.WORDPIECE,
    unknown: str = "[UNK]",
) -> Tokens:
    """Return the table of a vocabulary; ids count from 0 unless given."""
    ids = range(len(texts)) if ids is None else ids
    by_text = dict(zip(texts, ids, strict=True))
    return describe(
        list(ids),
        texts,
        frozenset(by_text[text] for text in special),
        marking,
        by_text.get(unknown, -1),
    )


def numbered(count: int) -> Tokens:
    """Return the tokens t0, t1, …"""
    return make_tokens([f"t{number}" for number in range(count)])


def write_shards(
    folder: Path, tokens: Tokens, static, isolated, *, layers: Sequence[int] = (12,), rows: int = 1000
) -> list[tuple[int, int]]:
    """Write shard files of some rows each; return their bounds."""
    folder.mkdir(parents=True, exist_ok=True)
    bounds = [(start, min(start + rows, len(tokens))) for start in range(0, len(tokens), rows)]
    for number, (start, stop) in enumerate(bounds):
        arrays = {Space("static"): static[start:stop]}
        arrays |= {Space("isolated", layer): each[start:stop] for layer, each in zip(layers, isolated, strict=True)}
        shard = Shard(number, tokens.ids[start:stop], arrays, "host", "AVX2")
        write_shard(folder, shard, FINGERPRINT)
    return bounds


def write_store(
    folder: Path,
    tokens: Tokens,
    static,
    isolated=None,
    *,
    layers: Sequence[int] = (12,),
    dtype: str = "float32",
    metrics: Sequence[str] = (),
    tokenizer=None,
    provenance: dict | None = None,
) -> Path:
    """Write a store.

    Args:
        folder: its path.
        tokens: V of them.
        static: (V, D), stored as float32.
        isolated: (L, V, D), stored as `dtype`; by default the static ones again, in each layer.
        layers: their L numbers.
        dtype: of `isolated`.
        metrics: what Flat indexes are built for, in `static` and the last layer.
        tokenizer: a `tokenizers.Tokenizer` for the store's own folder, or None.
        provenance: further attributes of the file.
    """
    layout = Layout(folder)
    static = np.asarray(static, dtype=np.float32)
    isolated = np.stack([static] * len(layers)) if isolated is None else np.asarray(isolated)
    attributes = {"settings": json.dumps({"model": "none"}), "versions": "{}", **(provenance or {})}
    of_spaces = {name: attributes.pop(name) for name in OF_SPACES if name in attributes}
    made = {"hosts": 1, "cpus": ["AVX2"], **of_spaces, "settings": {"model": "none"}}
    folder.mkdir(parents=True, exist_ok=True)
    identity = write_tokens(layout, tokens, attributes)
    write_space(layout, Space("static"), static, identity, made)
    for layer, each in zip(layers, isolated.astype(dtype), strict=True):
        write_space(layout, Space("isolated", layer), each, identity, made)
    if tokenizer is not None:
        layout.tokenizer.mkdir()
        tokenizer.save(str(layout.tokenizer / "tokenizer.json"))
    vectors = Vectors(folder)
    for metric in metrics:
        for space in (Space("static"), Space("isolated")):
            index.build(vectors, layout.indexes, space, Metric(metric))
    return folder


def write_odd_store(folder: Path) -> Path:
    """Write a store of the odd tokens and a hundred words, with one vector of zeros, and layers 0 and 1."""
    tokens = make_tokens([*ODD, *(f"word{number}" for number in range(100))])
    vectors = np.random.default_rng(3).standard_normal((len(tokens), 8)).astype(np.float32)
    vectors[20] = 0
    return write_store(folder, tokens, vectors, np.stack([vectors[::-1], vectors * 2]), layers=(0, 1))


def add_means(folder: Path, space: Space, vectors, n, uses=None, energy=None, made=None) -> None:
    """Add a space of means to a store, whose rows with `n` 0 have no vector.

    Args:
        folder: the store.
        space: such as `context@2`.
        vectors: (V, D); rows with `n` 0 become zeros.
        n: (V,) numbers of contexts.
        uses: (V,) numbers of vectors; by default `n`.
        energy: (V,) mean squared norms; by default those of the means.
        made: how they were made.
    """
    n = np.asarray(n, dtype=np.int64)
    vectors = np.where(n[:, np.newaxis] > 0, vectors, 0).astype(np.float32)
    energy = (vectors.astype(np.float64) ** 2).sum(axis=1) if energy is None else np.asarray(energy, dtype=np.float64)
    identity = Vectors(folder).attributes["identity"]
    made = {"settings": {"model": "none"}} if made is None else made
    with writing_space(Layout(folder), space, vectors.shape, "float32", identity, made) as writer:
        writer.add(vectors)
        writer.parts = {"n": n, "uses": n if uses is None else np.asarray(uses, dtype=np.int64), "energy": energy}


def add_contexts(
    path: Path,
    contexts: dict[str, list[int]],
    sentences: Sequence[str],
    *,
    inside: Sequence[str] | set[str] = (),
    occurrences: dict[str, float] | None = None,
    limit: int = 3,
    keep_text: bool = True,
    made: dict[str, object] | None = None,
) -> None:
    """Write a sample into a store: for each token the numbers of its sentences, of those with their texts."""
    seen = occurrences or {}
    with Store.open(path) as opened:
        rows = {int(opened.question(token).rows[0]): token for token in contexts}
        counts = np.zeros(len(opened), dtype=np.int64)
        counts[list(rows)] = [len(contexts[token]) for token in rows.values()]
        found = Sample(
            hashes=np.arange(len(sentences), dtype=np.uint64),
            offsets=offsets_of(counts),
            sentences=np.array([number for row in sorted(rows) for number in contexts[rows[row]]], dtype=np.int32),
            inside=np.array([rows.get(row) in inside for row in range(len(opened))]),
            occurrences=np.array([seen.get(rows.get(row, ""), counts[row]) for row in range(len(opened))], dtype=float),
            limit=limit,
            made=made or {},
            texts=Texts.of(sentences),
        )
        write_contexts(Layout(path).contexts, found, opened.vectors.attributes["identity"], keep_text=keep_text)
