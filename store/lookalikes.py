"""Characters that look like an operator and are none: what to write in their place."""

from itertools import pairwise

DASHES = "—―─━⸺ー"  # em dash, bars, and the Japanese long vowel mark, which an input method types for a minus
DIVISIONS = "/÷／"


def advice(char: str) -> str | None:
    """Return what to write in place of a character that stands where an operator belongs, or None."""
    if char in DASHES:
        return f"write - for a subtraction: {char} is a {'letter' if char == 'ー' else 'dash'}"
    if char in DIVISIONS:
        return f"write a weight, such as 0.5*king: {char} is no division"
    if char in "=＝":
        return f"leave out {char} and what follows it"
    return None


def mistaken(text: str) -> str | None:
    """Return what to write instead of a text that is no token and may be meant as arithmetic, or None.

    Such as `king—man`, `王ー男` and `king/2`; not `スーパー`, as ー after kana is a part of a word.
    """
    for before, char in pairwise(text[:-1]):
        if char in DASHES and before not in DASHES and not (char == "ー" and _is_kana(before)):
            return advice(char)
    head = text.rstrip("0123456789.")
    return advice(head[-1]) if head != text and head[-1:] in DIVISIONS and head else None


def _is_kana(char: str) -> bool:
    return "\u3041" <= char <= "\u30ff" or "\uff66" <= char <= "\uff9f"
