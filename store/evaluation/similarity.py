"""Word pairs with people's scores: SimLex-999, WordSim-353, RareWords, JWSD, and tables like theirs."""

import csv
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kotovec.errors import InputError, quoted
from kotovec.store.evaluation.lines import Problems, part_head, read_lines
from kotovec.text import counted, parts

LONGEST = 100_000  # characters of a line
COLUMNS = 3  # two words and a score
_HINT = "write two words and a score per line, or name the columns with `--columns word1,word2,score`"
_COLUMNS_HINT = "name the columns with `--columns word1,word2,score`, or by number as `--columns 1,2,4`"
# What headers call the columns, without case, blanks and signs; of scores, the first that a file has.
_FIRST, _SECOND = ("word1", "w1", "first"), ("word2", "w2", "second")
_SCORES = ("simlex999", "humanmean", "mean", "averagescore", "average", "score", "rating", "similarity", "gold")


@dataclass(frozen=True)
class Pair:
    """Two words and how similar people find them; larger is more similar."""

    word1: str
    word2: str
    score: float


def read_pairs(path: Path, columns: str | None = None) -> list[Pair]:
    """Return the pairs of a file of tab- or comma-separated values, in its order.

    Args:
        path: the file, in UTF-8; lines that begin with `#` at its beginning are comments where they are no pairs, and
            where a header follows.
        columns: the columns of the two words and of the score, by the names of its header, or by numbers from 1;
            without them they are found by the header, and are the first three of a file without one.

    Raises:
        InputError: the file cannot be read, has no such columns, or has malformed lines, which are all named.
    """
    problems = Problems()
    lines = list(read_lines(path, problems))
    if not lines:
        problems.check("save it as UTF-8")
        raise InputError(f"{path} has no pairs", hint=_HINT)
    head, body = part_head([line for line in lines if _fits(path, *line, problems)])
    if not (head or body):
        problems.check(_HINT)
    first = (body or head)[0][1]
    chosen, has_header = [0, 1, 2], False
    if body or columns is not None:
        chosen, has_header = _choose(path, _fields(first, first), columns)
    named = [line for line in head if not has_header and _is_pair(_fields(line[1], first), chosen)]
    rows = [*named, *(body[1:] if has_header else body)]
    pairs = [_pair(path, number, _fields(text, first), chosen, problems) for number, text in rows]
    problems.check(_HINT)
    if not pairs:
        raise InputError(f"{path} has no pairs{' below its header' if has_header else ''}", hint=_HINT)
    return [pair for pair in pairs if pair is not None]


def _fits(path: Path, number: int, line: str, problems: Problems) -> bool:
    """Return whether a line has a length that a pair may have; csv reads no field of more than 131,072 characters."""
    if len(line) > LONGEST:
        problems.add(path, number, f"has {len(line):,} characters")
    return len(line) <= LONGEST


def _fields(line: str, first: str) -> list[str]:
    """Return the fields of a line: between tabs, commas or blanks, whichever the first line has."""
    if "\t" in first:
        return [field.strip() for field in line.split("\t")]
    if "," in first:
        return [field.strip() for field in next(csv.reader([line], skipinitialspace=True))]
    return line.split()


def _choose(path: Path, first: Sequence[str], columns: str | None) -> tuple[list[int], bool]:
    """Return which columns the words and the score are, from 0, and whether the first row is a header.

    Raises:
        InputError: there are no such columns.
    """
    names = [_plain(field) for field in first]
    found = [_index(names, known) for known in (_FIRST, _SECOND, _SCORES)]
    if columns is not None:
        wanted = parts(columns)
        if len(wanted) != COLUMNS:
            raise InputError(f"--columns names {counted(len(wanted), 'column')}, not 3", hint="name word1,word2,score")
        if all(each.isdecimal() and int(each) > 0 for each in wanted):
            chosen = [int(each) - 1 for each in wanted]
            return chosen, max(chosen) < len(first) and number_of(first[chosen[2]]) is None
        found = [_index(names, [_plain(each)]) for each in wanted]
        if None in found:
            lacking = wanted[found.index(None)]
            raise InputError(
                f"{path} has no column {quoted(lacking)}: its first line is {quoted(', '.join(first))}",
                hint="choose three of its columns by name, or by number such as `1,2,3`",
            )
    chosen = [index for index in found if index is not None]
    if len(chosen) == COLUMNS:
        return chosen, True
    if len(first) >= COLUMNS and number_of(first[2]) is None:
        raise InputError(
            f"the first line of {path} is neither a pair with its score nor a known header: {quoted(', '.join(first))}",
            hint=_COLUMNS_HINT,
        )
    return [0, 1, 2], False


def _plain(name: str) -> str:
    return re.sub(r"[^0-9a-z]", "", name.casefold()) or name


def _index(names: Sequence[str], known: Sequence[str]) -> int | None:
    return next((names.index(name) for name in known if name in names), None)


def number_of(text: str) -> float | None:
    """Return the number of a text in ASCII; None where it is no finite one. Python would read `5_0` and `５`, too."""
    if not text.isascii() or "_" in text:
        return None
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _is_pair(row: Sequence[str], chosen: Sequence[int]) -> bool:
    return max(chosen) < len(row) and all(row[index] for index in chosen) and number_of(row[chosen[2]]) is not None


def _pair(path: Path, number: int, row: Sequence[str], chosen: Sequence[int], problems: Problems) -> Pair | None:
    """Return the pair of a row; None where it has none, which is a problem."""
    if max(chosen) >= len(row):
        problems.add(path, number, f"has {counted(len(row), 'column')}, not {max(chosen) + 1}")
        return None
    word1, word2, text = (row[index] for index in chosen)
    score = number_of(text)
    if not word1 or not word2:
        problems.add(path, number, "has an empty word")
    elif score is None:
        problems.add(path, number, f"has the score {quoted(text)}, which is no number")
    else:
        return Pair(word1, word2, score)
    return None
