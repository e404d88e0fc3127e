"""The request of a build, as a user makes it: options, and what of them can be checked without the model."""

from dataclasses import dataclass, replace
from pathlib import Path

from kotovec.cluster import DEFAULT_MODEL
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

    @property
    def chosen(self) -> Chosen:
        """The spaces that are asked for.

        Raises:
            InputError: as `choose`, or a sentence is given without the space that is made with it, or the reverse.
        """
        in_sentence = self.template is not None
        asked = "static,template" if in_sentence and self.spaces == Request.spaces else self.spaces
        chosen = choose(asked, self.layers)
        if in_sentence and chosen.states != "template":
            raise InputError(
                "--template makes the space `template`", hint="name it in --spaces, or leave out --template"
            )
        if chosen.states == "template" and not in_sentence:
            raise InputError(
                "the space `template` needs a sentence", hint="give one with --template, with `{}` for the token"
            )
        return chosen

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
        if (layers := self.chosen.layers) is not None:
            parse_layers(layers)
        for option, value, values in (
            ("--dtype", self.dtype, DTYPES),
            ("--store-dtype", self.store_dtype, STORE_DTYPES),
            *(("--token-filter", kind, KINDS) for kind in self.token_filter),
        ):
            if value not in values:
                raise InputError(f"unknown {option} {quoted(value)}", hint=f"choose {choices(values)}")
        # torch has another kernel for a batch of one.
        if self.shard_tokens is not None and self.shard_tokens < 2:  # noqa: PLR2004
            raise InputError(f"--shard-tokens is {self.shard_tokens}", hint="use 2 or more")
        if self.cpus_per_worker < 1:
            raise InputError(f"--cpus-per-worker is {self.cpus_per_worker}", hint="use 1 or more")
        self._check_words()

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
