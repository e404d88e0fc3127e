"""The tokens of a model that a build encodes, checked against the rows of its input embedding matrix."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kotovec.cluster.words import Words
from kotovec.errors import InputError, choices
from kotovec.store.tokens import Marking, Tokens, describe
from kotovec.workers import rows as row_checks
from kotovec.workers import tokenizer as tokenizers
from kotovec.workers.bos import begin_with_bos
from kotovec.workers.foreign_code import notice_code
from kotovec.workers.model import Model

MOST_UNNAMED = 8192  # rows without a token that are kept: 134 MB of 4,096 dimensions; padding is some hundreds
MOST_ROWLESS = 256  # tokens without a row whose texts are kept


@dataclass(frozen=True)
class Listing:
    """The tokens of a model.

    Attributes:
        tokenizer: the tokenizer of transformers.
        template: ids around each token.
        vocabulary: all tokens of the tokenizer.
        everything: those that have a row of the input embedding matrix.
        tokens: those of them that are of the wanted kinds.
        mecab_dic: name of the MeCab dictionary, or None.
        mecab_assumed: whether that name was assumed, as neither the user nor the model's config names one.
        notices: messages for the user.
        of_states: those that concern hidden states alone.
        unnamed: rows of the matrix that no token has, ascending; the first `MOST_UNNAMED` of them.
        rowless: tokens that have no row, by their ids; the first `MOST_ROWLESS` of them.
        words: words of a list, which are then the tokens; None for the vocabulary.
        bos: whether a token was to be put before those of a decoder whose template has none there.
    """

    tokenizer: Any
    template: tokenizers.Template
    vocabulary: tokenizers.Vocabulary
    everything: Tokens
    tokens: Tokens
    mecab_dic: str | None
    mecab_assumed: bool
    notices: tuple[str, ...]
    of_states: tuple[str, ...]
    unnamed: npt.NDArray[np.int64]
    rowless: Mapping[int, str]
    words: Words | None = None
    bos: bool = True


def list_tokens(
    model: Model, kinds: Sequence[str], mecab_dic: str | None, rows: int | None = None, *, bos: bool = True
) -> Listing:
    """List the tokens of a model, and check that its tokenizer is that of its rows.

    Args:
        model: the model.
        kinds: the wanted kinds of tokens.
        mecab_dic: MeCab dictionary that overrides the model's config, or None.
        rows: number of rows that tokens may have; None is what the config says.
        bos: put a token before those of a decoder whose template has none there.

    Raises:
        InputError and its subclasses: tokenizer and model do not belong together, or no token is of the wanted kinds.
    """
    rows = int(model.pretrained_config.vocab_size) if rows is None else rows
    tokenizer, dictionary = tokenizers.load_tokenizer(model, mecab_dic)
    vocabulary = tokenizers.list_vocabulary(tokenizer, model)
    template = tokenizers.find_template(tokenizer)
    roles = row_checks.check_roles(model, tokenizer, vocabulary, rows)
    row_checks.check_template(model, tokenizer, vocabulary, template, rows)
    others = row_checks.notice_tokenizer(model, tokenizer, vocabulary, template, rows)
    begun, notice = begin_with_bos(model, tokenizer, vocabulary, template, rows, wanted=bos)
    everything = _with_row(vocabulary, begun, rows)
    tokens = everything.keep(kinds)
    if len(tokens) == 0:
        held = [kind for kind, count in everything.count().items() if count]
        problem = f"no token of {model.name} is of the {'kind' if len(kinds) == 1 else 'kinds'} {', '.join(kinds)}"
        raise InputError(problem, hint=f"choose {choices(held)}")
    code = notice_code(model.code, model.described.model_type, tokenizers.origin(model, tokenizer))
    return Listing(
        tokenizer=tokenizer,
        template=begun,
        vocabulary=vocabulary,
        everything=everything,
        tokens=tokens,
        mecab_dic=dictionary,
        mecab_assumed=dictionary is not None and mecab_dic is None and not _names_mecab(model),
        notices=(*code, *roles, *others, *_notices(vocabulary)),
        of_states=notice,
        unnamed=_unnamed(everything, rows),
        rowless=_rowless(vocabulary, rows),
        bos=bos,
    )


def _with_row(vocabulary: tokenizers.Vocabulary, template: tokenizers.Template, rows: int) -> Tokens:
    """Return the tokens of a vocabulary that have one of the rows of the input embedding matrix."""
    chosen = [index for index, token_id in enumerate(vocabulary.ids) if 0 <= token_id < rows]
    return describe(
        [vocabulary.ids[index] for index in chosen],
        [vocabulary.texts[index] for index in chosen],
        vocabulary.special | {*template.prefix, *template.suffix},
        Marking(vocabulary.marking),
        vocabulary.unk_id,
        vocabulary.added,
    )


def _unnamed(everything: Tokens, rows: int) -> npt.NDArray[np.int64]:
    """Return the rows that no token has, ascending."""
    named = np.zeros(rows, dtype=np.bool_)
    named[everything.ids] = True
    return np.flatnonzero(~named)[:MOST_UNNAMED].astype(np.int64)


def _rowless(vocabulary: tokenizers.Vocabulary, rows: int) -> dict[int, str]:
    """Return the tokens for which the matrix has no row, by their ids."""
    pairs = zip(vocabulary.ids, vocabulary.texts, strict=True)
    found = [(token_id, text[:80]) for token_id, text in pairs if token_id >= rows]
    return dict(found[:MOST_ROWLESS])


def _names_mecab(model: Model) -> bool:
    return "mecab_dic" in (model.tokenizer_config.get("mecab_kwargs") or {})


def _notices(vocabulary: tokenizers.Vocabulary) -> tuple[str, ...]:
    if not vocabulary.rewritten:
        return ()
    word, normal = vocabulary.rewritten[0]
    text = (
        f"the tokenizer rewrites {len(vocabulary.rewritten):,} words of its own vocabulary ({word} → {normal}): "
        "the folder may lack the tokenizer_config.json that names its class; words that are no token would be misread"
    )
    return (text,)
