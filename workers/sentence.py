"""A sentence around every token, the same for all: the ids of what precedes and follows the token in it.

The token stands where the sentence has `{}`. What precedes and what follows is split on its own, so that the ids around
are the same for every token, which is the point: all differ in nothing but the token.
"""

from typing import Any

from kotovec.errors import InputError, quoted
from kotovec.workers.tokenizer import Template, Vocabulary

MARK = "{}"
_BEFORE = ("の", "a", "1", ".")  # what may stand before the second half while it is split


def check_sentence(sentence: str) -> None:
    """Check what can be seen of a sentence without a tokenizer.

    Raises:
        InputError: it is no sentence around one token.
    """
    if sentence.count(MARK) != 1:
        found = f"{sentence.count(MARK)} places" if MARK in sentence else "no place"
        raise InputError(
            f"--template {quoted(sentence)} has {found} for the token", hint="write `{}` once, where the token stands"
        )
    if not sentence.replace(MARK, "").strip():
        raise InputError(
            "--template has nothing around the token", hint="leave it out: a token alone is the space `isolated`"
        )


def around(tokenizer: Any, vocabulary: Vocabulary, template: Template, sentence: str, rows: int) -> Template:
    """Return the template of a sentence: the ids around a token in it, special tokens included.

    A blank before the token is dropped: in a vocabulary that writes blanks with the words behind them, the token has
    its own or has none.

    Args:
        tokenizer: the tokenizer of transformers.
        vocabulary: its vocabulary.
        template: the model's own template, which begins and ends the sentence.
        sentence: the sentence, with `{}` in the place of the token.
        rows: number of rows of the input embedding matrix.

    Raises:
        InputError: the vocabulary cannot spell the sentence.
    """
    before, _, after = sentence.partition(MARK)
    prefix, suffix = _split(tokenizer, before.rstrip()), _following(tokenizer, vocabulary, after.rstrip())
    for token_id in (*prefix, *suffix):
        if token_id == vocabulary.unk_id or not 0 <= token_id < rows:
            text = tokenizer.convert_ids_to_tokens(token_id)
            raise InputError(
                f"the vocabulary cannot spell --template {quoted(sentence)}: a part of it becomes {text}",
                hint="write a sentence in the model's language",
            )
    return Template((*template.prefix, *prefix), (*suffix, *template.suffix))


def _split(tokenizer: Any, text: str) -> tuple[int, ...]:
    return tuple(map(int, tokenizer(text, add_special_tokens=False)["input_ids"])) if text else ()


def _following(tokenizer: Any, vocabulary: Vocabulary, text: str) -> tuple[int, ...]:
    """Return the ids of a text that follows a word.

    SentencePiece begins every text as a word, with ▁; behind something else, it begins it as it stands.
    """
    if vocabulary.marking != "metaspace" or not text:
        return _split(tokenizer, text)
    for first in _BEFORE:
        head, whole = _split(tokenizer, first), _split(tokenizer, first + text)
        if whole[: len(head)] == head:
            return whole[len(head) :]
    raise InputError(f"{quoted(text)} cannot follow a token of this vocabulary", hint="put a blank behind {}")
