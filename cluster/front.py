"""`kotovec.build`: the entry point for Python."""

from collections.abc import Iterable, Sequence
from numbers import Integral
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from kotovec.cluster import DEFAULT_MODEL, default_store
from kotovec.cluster.arguments import check_types, listed
from kotovec.cluster.events import Report, ignore
from kotovec.errors import InputError
from kotovec.space import Space
from kotovec.store.database import Store
from kotovec.text import parts

if TYPE_CHECKING:
    from kotovec.cluster.wordlist import Wordlist


def build(
    model: str | PathLike[str] = DEFAULT_MODEL,
    store: str | PathLike[str] | None = None,
    *,
    workers: int | None = None,
    spaces: str | Sequence[str | Space] = "static,isolated",
    layers: str | int | Sequence[int] = "last",
    dtype: str = "float32",
    store_dtype: str = "float32",
    device: str = "auto",
    token_filter: str | Sequence[str] | None = None,
    mecab_dic: str | None = None,
    bos: bool = True,
    template: str | None = None,
    revision: str | None = None,
    address: str | None = None,
    words: str | PathLike[str] | Iterable[str] | None = None,
    words_column: str | None = None,
    pooling: str | None = None,
    corpus: str | PathLike[str] | Sequence[str | PathLike[str]] | None = None,
    corpus_field: str | None = None,
    split: str | None = None,
    min_chars: int | None = None,
    max_chars: int | None = None,
    contexts: int | None = None,
    fraction: float | None = None,
    seed: int | None = None,
    keep_text: bool = False,
    contexts_from: str | PathLike[str] | None = None,
    prototypes: int | None = None,
    overwrite: bool = False,
    report: Report = ignore,
) -> Store:
    """Build the store of a model's vocabulary, or complete or extend an existing one, and open it.

    >>> import kotovec
    >>> store = kotovec.build("demo", workers=0)
    >>> store.search("king - man + woman", exclude_inputs=True)

    Args:
        model: Hub id, folder, or `demo`.
        store: path of the store's folder; None is the last part of the model's name, in the working directory.
        workers: Ray actors; 0 encodes in this process, without Ray, and gives the same bytes; None is one per core.
        spaces: list, also as one text, of `static`, `output` and `isolated`, or `isolated@6`, or `template`; without
            hidden states, only tables of the checkpoint are read, of any architecture.
        layers: `last`, `all`, or their numbers, or one; 0 is the embeddings' output.
        dtype: dtype of the computation, `float32`, `bfloat16` or `float16`.
        store_dtype: dtype of the stored hidden states, `float32` or `float16`.
        device: `auto`, `cpu` or `cuda`.
        token_filter: kinds of tokens to keep, also as `word,subword`; None is all.
        mecab_dic: MeCab dictionary; None is the model's.
        bos: put the token of the beginning before those of a decoder whose template has none there.
        template: a sentence around each token, for which `{}` stands: the space `template` in place of `isolated`.
        revision: branch, tag or commit on the Hub.
        address: address of a Ray cluster to join.
        words: a list of words to encode in place of the vocabulary: path of a file, or any iterable of words; `store`
            must be given, too.
        words_column: column of the file, or key of its JSON lines, that the words are in.
        pooling: what the vector of a word is made of: the `mean` of its tokens' vectors, or the `first` or `last` one.
        corpus: files, folders, patterns or URLs of texts, for the space `context`: means over sentences of hidden
            states.
        corpus_field: field of JSON lines, or column of Parquet, that holds the text; None is `text`.
        split: what a sentence is: `sentence`, `line`, or a number of characters.
        min_chars: fewest characters of a sentence.
        max_chars: most characters of a sentence.
        contexts: how many sentences each token or word gets, at most.
        fraction: part of all sentences that is looked at, drawn by their hashes.
        seed: another one draws other sentences.
        keep_text: keep the sentences in the store, for `kotovec contexts` and `contexts_from`.
        contexts_from: a store whose sentences are taken, in place of a corpus.
        prototypes: most vectors of a token or word in the space `prototypes`, 1 to 5: centres of its vectors in its
            sentences.
        overwrite: build again beside a complete store, and swap the two.
        report: called with each event of the build.

    Raises:
        KotovecError: the error that `kotovec build` would report; its message names the fix.
    """
    check_types(locals())
    from kotovec.cluster.request import Request
    from kotovec.cluster.run import run
    from kotovec.cluster.where import Resources

    if words is not None and store is None:
        raise InputError("words need a store of their own", hint="name its folder as `store`")
    model = str(model)
    path = default_store(model) if store is None else Path(store)
    where = Resources(workers=workers, address=address)
    request = Request(
        model=model,
        revision=revision,
        spaces=listed(spaces, "spaces", Space),
        bos=bos,
        template=template,
        layers=listed(layers, "layers", Integral),
        dtype=dtype,
        store_dtype=store_dtype,
        device=device,
        token_filter=_kinds(token_filter),
        mecab_dic=mecab_dic,
        on_cluster=address is not None,
        words=_words(words),
        words_column=words_column,
        pooling=pooling,
        corpus=_paths(corpus),
        corpus_field=corpus_field,
        split=split,
        min_chars=min_chars,
        max_chars=max_chars,
        contexts=contexts,
        fraction=fraction,
        seed=seed,
        keep_text=keep_text,
        contexts_from=None if contexts_from is None else Path(contexts_from),
        prototypes=prototypes,
    )
    run(request, path, where, overwrite=overwrite, report=report)
    return Store.open(path)


def _words(words: str | PathLike[str] | Iterable[str] | None) -> "Path | Wordlist | None":
    """Return the path of a file of words, or the words of an iterable."""
    from kotovec.cluster.wordlist import gather

    if words is None or isinstance(words, str | PathLike):
        return None if words is None else Path(words)
    return gather(words)


def _paths(paths: str | PathLike[str] | Sequence[str | PathLike[str]] | None) -> tuple[str, ...]:
    """Return one or several paths as texts."""
    if paths is None:
        return ()
    return tuple(map(str, (paths,) if isinstance(paths, str | PathLike) else paths))


def _kinds(token_filter: str | Sequence[str] | None) -> tuple[str, ...]:
    """Return the kinds of tokens to keep; a text is a list as on the command line."""
    from kotovec.store.tokens import KINDS

    if isinstance(token_filter, str):
        return tuple(parts(token_filter))
    return KINDS if token_filter is None else tuple(token_filter)
