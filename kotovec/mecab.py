"""MeCab's dictionaries by the names that transformers uses, and its own options, which a configuration can hold."""

import re

DICTIONARIES = ("ipadic", "unidic_lite", "unidic")  # and the packages that hold them

# Those with a number: others name files that MeCab reads or writes, or let a text say how it is split.
_HARMLESS = re.compile(
    r"((-l|-t|-c|--lattice-level|--theta|--cost-factor)[ =]?[0-9.]{1,9}\s*|-C\s*|--allocate-sentence\s*)*"
)


def is_harmless(option: object) -> bool:
    """Return whether a `mecab_option` only weighs words; None and an empty text do."""
    return option is None or (isinstance(option, str) and _HARMLESS.fullmatch(option.strip()) is not None)
