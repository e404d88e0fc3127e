"""The request of a build, as a user makes it: options, and what of them can be checked without the model."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kotovec.cluster import DEFAULT_MODEL
from kotovec.cluster.contexts.sampling import LIMIT, MOST_PROTOTYPES, Sampling
from kotovec.cluster.corpus import Corpus
from kotovec.cluster.tables import STATES, Chosen, choose
from kotovec.cluster.wordlist import Wordlist, check_file, load
from kotovec.errors import InputError, ModelNotFoundError, choices, quoted
from kotovec.store.absence import model_of, store_around
from kotovec.store.library import check_device
from kotovec.store.tokens import KINDS
from kotovec.text import argument, parts
from kotovec.workers.address import DEMO
from kotovec.workers.pooling import POOLINGS
from kotovec.workers.sentence import check_sentence

DTYPES = ("float32", "bfloat16", "float16")
STORE_DTYPES = ("float32", "float16")
MOST_LAYERS = 10_000  # no model has more
# Options of contexts, each of which is a field of the request.
OF_CONTEXTS = (
    "corpus_field",
    "split",
    "min_chars",
    "max_chars",
    "contexts",
    "fraction",
    "seed",
    "keep_text",
    "contexts_from",
    "prototypes",
)
OF_STATES = ("layers", "dtype", "store_dtype")
_WITHOUT_CORPUS = {"contexts_from", "keep_text", "prototypes"}  # those that the sentences of another store take


@dataclass(frozen=True)
class Request:
    """What a user requests of a build; every field but `on_cluster` has the name of its option.

    With `on_cluster`, the workers run on the joined cluster, which may have GPUs where this machine has none.
    """

    model: str = DEFAULT_MODEL
    revision: str | None = None
    spaces: str = "static,isolated"
    layers: str = "last"
    bos: bool = True
    dtype: str = "float32"
    store_dtype: str = "float32"
    device: str = "auto"
    token_filter: tuple[str, ...] = KINDS
    mecab_dic: str | None = None
    shard_tokens: int | None = None
    cpus_per_worker: int = 1
    on_cluster: bool = False
    template: str | None = None
    words: Path | Wordlist | None = None
    words_column: str | None = None
    pooling: str | None = None
    corpus: tuple[str, ...] = ()
    corpus_field: str | None = None
    split: str | None = None
    min_chars: int | None = None
    max_chars: int | None = None
    contexts: int | None = None
    fraction: float | None = None
    seed: int | None = None
    keep_text: bool = False
    contexts_from: Path | None = None
    prototypes: int | None = None

    @property
    def stages(self) -> tuple["Request", ...]:
        """The request cut into stages, one a kind of hidden states; each is a request of its own.

        Raises:
            InputError: as `choose`, or what a space is made with is given without the space, or the reverse.
        """
        sampling = self.sampling
        asked = self.spaces
        if asked == Request.spaces:
            asked = "static,template" if self.template is not None else asked
            asked += ",context" if sampling is not None else ""
        stages = choose(asked, self.layers)
        kinds = {stage.states for stage in stages if stage.layers is not None}
        _check_given("template", kinds, "--template", self.template, "a sentence", "with `{}` for the token")
        option = "--contexts-from" if self.contexts_from is not None else "--corpus"
        _check_given("context", kinds, option, sampling, "sentences", "or take those of a store with --contexts-from")
        return tuple(map(self._stage, stages))

    def _stage(self, chosen: Chosen) -> "Request":
        others: dict[str, Any] = {} if chosen.states == "template" else {"template": None}
        if chosen.states != "context":
            others |= {name: getattr(Request, name) for name in ("corpus", *OF_CONTEXTS)}
        return replace(self, spaces=chosen.spaces, layers=chosen.layers or "last", **others)

    @property
    def chosen(self) -> Chosen:
        """The spaces of a request that is one stage.

        Raises:
            InputError: as `stages`.
        """
        (stage,) = self.stages
        (chosen,) = choose(stage.spaces, stage.layers)
        return chosen

    @property
    def sampling(self) -> Sampling | None:
        """What contexts are wanted; None for none.

        Raises:
            InputError: an option of contexts is given without them, two sources are, or a number is out of range.
        """
        given = {
            name: value for name in OF_CONTEXTS if (value := getattr(self, name)) is not None and value is not False
        }
        if self.prototypes is not None and not 1 <= self.prototypes <= MOST_PROTOTYPES:
            raise InputError(f"--prototypes is {self.prototypes}", hint=f"use 1 to {MOST_PROTOTYPES}")
        if self.contexts_from is not None:
            drawing = [*(["corpus"] if self.corpus else []), *given.keys() - _WITHOUT_CORPUS]
            for name in drawing:
                raise InputError(
                    f"{option_of(name)} draws sentences, and --contexts-from takes those of another store",
                    hint="leave out one of them",
                )
            return Sampling(self.contexts_from, keep_text=self.keep_text)
        if not self.corpus:
            for name in given:
                other = ", or a store with --contexts-from" if name in _WITHOUT_CORPUS else ""
                hint = f"name it with --corpus{other}"
                raise InputError(f"{option_of(name)} is of a corpus, and none is given", hint=hint)
            return None
        given.pop("prototypes", None)
        cut = {name: given.pop(name) for name in ("split", "min_chars", "max_chars") if name in given}
        corpus = Corpus(self.corpus, given.pop("corpus_field", None), **cut)
        return Sampling(corpus, given.pop("contexts", LIMIT), **given)

    @property
    def has_states(self) -> bool:
        """Whether hidden states are asked for, which workers compute; a bad list of spaces is refused by the plan."""
        return has_states(self.spaces)

    def check(self) -> None:
        """Validate everything that can be checked without loading the model.

        Raises:
            InputError: an option has an unknown value.
            ModelNotFoundError: the model is a store.
        """
        check_no_store(self.model)
        check_device(self.device)
        parse_layers(self.layers)
        if self.template is not None:
            check_sentence(self.template)
        for stage in self.stages:
            parse_layers(stage.layers)
        for option, value, values in (
            ("--dtype", self.dtype, DTYPES),
            ("--store-dtype", self.store_dtype, STORE_DTYPES),
            *(("--token-filter", kind, KINDS) for kind in self.token_filter),
        ):
            if value not in values:
                raise InputError(f"unknown {option} {quoted(value)}", hint=f"choose {choices(values)}")
        if not self.has_states:
            self._check_idle()
        # torch has another kernel for a batch of one.
        if self.shard_tokens is not None and self.shard_tokens < 2:  # noqa: PLR2004
            raise InputError(f"--shard-tokens is {self.shard_tokens}", hint="use 2 or more")
        if self.cpus_per_worker < 1:
            raise InputError(f"--cpus-per-worker is {self.cpus_per_worker}", hint="use 1 or more")
        self._check_words()

    def _check_idle(self) -> None:
        """Refuse what is of hidden states alone, where there are none."""
        changed = [option_of(name) for name in OF_STATES if getattr(self, name) != getattr(Request, name)]
        for option in (*changed, *(["--no-bos"] if not self.bos else [])):
            raise InputError(f"{option} is of hidden states, and none are asked for", hint="leave it out")

    def _check_words(self) -> None:
        """Check the options of a list of words, and that its file can be read."""
        if self.pooling not in (None, *POOLINGS):
            raise InputError(f"unknown --pooling {quoted(self.pooling)}", hint=f"choose {choices(POOLINGS)}")
        if self.words is None:
            for option, value in (("--words-column", self.words_column), ("--pooling", self.pooling)):
                if value is not None:
                    raise InputError(f"{option} is of a list of words, and none is given", hint="name it with --words")
            return
        if set(self.token_filter) != set(KINDS):
            raise InputError("--token-filter is of a vocabulary, and --words names words", hint="leave out one of them")
        if isinstance(self.words, Path):
            check_file(self.words, self.words_column)

    def with_words(self) -> "Request":
        """Return the request with the words of its file, which is then read once.

        Raises:
            InputError: the file cannot be read as a list of words.
        """
        return self if self.words is None else replace(self, words=load(self.words, self.words_column))


def option_of(name: str) -> str:
    """Return how the option of a field is written."""
    return f"--{name.replace('_', '-')}"


def _check_given(space: str, kinds: Collection[str], option: str, value: object, what: str, how: str) -> None:
    """Check that the space and what it is made with are asked for together.

    Raises:
        InputError: one of them is missing.
    """
    if value is not None and space not in kinds:
        raise InputError(f"{option} makes the space `{space}`", hint=f"name it in --spaces, or leave out {option}")
    if value is None and space in kinds:
        raise InputError(f"the space `{space}` needs {what}", hint=f"give {what} with {option}, {how}")


def check_no_store(model: str) -> None:
    """Refuse a store, or what lies in one, as the name of a model.

    Raises:
        ModelNotFoundError: the model is one; the hint names the model that it was made of.
    """
    path = Path(model.removeprefix("file://") if model.startswith("file:///") else model)
    store = None if model == DEMO else store_around(path)
    if store is None:
        return
    what = "a store" if store == path else "a part of a store"
    see, made = quoted(f"kotovec info --store {argument(str(store))}"), model_of(store)
    hint = f"see it with {see}, or name the model that it was made of{f': {made}' if made else ''}"
    raise ModelNotFoundError(f"{model} is {what}, not a model", hint=hint)


def has_states(spaces: str) -> bool:
    """Return whether a list of spaces has hidden states; it need not be a good one."""
    return any(name in spaces for name in STATES) or spaces.strip() == "both"


def parse_layers(text: str, depth: int = MOST_LAYERS) -> tuple[int, ...]:
    """Return the layers that `last`, `all` or a list such as `0,1,12` stands for, ascending; −1 is the last layer.

    Args:
        text: the value of `--layers`.
        depth: the number of layers of the model; without it, only what no model has is refused.

    Raises:
        InputError: the model has no such layer, or the list cannot be read.
    """
    if text == "last":
        return (depth,)
    if text == "all":
        return tuple(range(depth + 1))
    try:
        numbers = [int(part) for part in parts(text)]
    except ValueError as error:
        raise InputError(
            f"--layers {quoted(text)} is not a list of layers",
            hint=f"choose `last`, `all`, or numbers such as `0,1,{12 if depth == MOST_LAYERS else depth}`",
        ) from error
    for number in numbers:
        if not -depth - 1 <= number <= depth:
            raise InputError(
                f"--layers {quoted(text)}: the model has the layers 0 to {depth}, not {number}",
                hint=f"choose `last`, `all`, or numbers from 0 to {depth}",
            )
    return tuple(sorted({number % (depth + 1) for number in numbers}))
