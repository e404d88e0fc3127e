"""MeCab's own options, which a tokenizer's configuration can hold."""

import re

# Those with a number: others name files that MeCab reads or writes, or let a text say how it is split.
_HARMLESS = re.compile(
    r"((-l|-t|-c|--lattice-level|--theta|--cost-factor)[ =]?[0-9.]{1,9}\s*|-C\s*|--allocate-sentence\s*)*"
)


def is_harmless(option: object) -> bool:
    """Return whether a `mecab_option` only weighs words; None and an empty text do."""
    return option is None or (isinstance(option, str) and _HARMLESS.fullmatch(option.strip()) is not None)
