"""Lists of characters: 常用漢字, 人名用漢字, the two levels of JIS X 0208, or what a text has."""

from collections.abc import Iterable
from importlib.resources import files

NAMES = ("joyo", "jinmei", "jis1", "jis2")
_CELLS = range(1, 95)
_ROWS = {"jis1": range(16, 48), "jis2": range(48, 85)}  # of JIS X 0208:1997, whose kanji begin in row 16
_OFFSET = 0xA0  # what EUC-JP adds to a row and to a cell


def read_charset(name: str) -> str:
    """Return the characters of a list, each once: 2,136 of `joyo`, 863 of `jinmei`, 2,965 of `jis1`, 3,390 of `jis2`.

    joyo and jinmei come from Unicode's Unihan database, jis1 and jis2 from Python's codec of EUC-JP.

    Args:
        name: one of `NAMES`.
    """
    if name in _ROWS:
        codes = (bytes((row + _OFFSET, cell + _OFFSET)) for row in _ROWS[name] for cell in _CELLS)
        return "".join(code.decode("euc_jp", errors="ignore") for code in codes)
    text = files("kotovec.store").joinpath("charsets", f"{name}.txt").read_text(encoding="utf-8")
    return "".join(line for line in text.splitlines() if not line.startswith("#"))


def characters(lines: Iterable[str]) -> str:
    """Return the characters of some lines, each once, in order, without spaces and what cannot be seen."""
    return "".join(dict.fromkeys(char for line in lines for char in line if char.isprintable() and not char.isspace()))
