"""Every error that kotovec raises on purpose: a one-line message, the fix as a hint, and an exit code.

An error inherits from the built-in that it refines, so that code which knows nothing of kotovec can catch it.
"""

from collections.abc import Iterable
from typing import ClassVar

from kotovec.text import escaped

RESUME = "run the same command again; it resumes"
MOST_NEAR = 3  # names that a hint offers for an unknown one
ACCESS = "give this user access to it"


class KotovecError(Exception):
    """Base class of all of kotovec's errors.

    Attributes:
        exit_code: exit code of the command line.
        hint: the fix, in the imperative; None where none is known. It is also a note, which tracebacks show.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        # Pickling copies both from the attributes: an error that is made of the message alone adds no second note.
        self.hint = hint
        if hint is not None:
            self.add_note(f"hint: {hint}")

    def __str__(self) -> str:
        r"""Return the message alone, in one line (KeyError would quote it, OSError would add its errno).

        A line break in a name would begin a line that looks like another error: it is written as `\n`.
        """
        return _in_line(" ".join(str(arg) for arg in self.args))


class InputError(KotovecError, ValueError):
    """The input cannot be used."""

    exit_code = 2


class MissingDependencyError(InputError, ImportError):
    """A package is missing, or two that exclude each other are installed."""


class ModelNotFoundError(InputError, FileNotFoundError):
    """No model has that name: it is neither a folder nor on the Hub, or the Hub cannot be reached."""


class ModelError(InputError):
    """The model was found, but it is damaged, or of a kind that has no hidden state per token."""


class NonFiniteError(KotovecError, ArithmeticError):
    """The model returned NaN or Inf for a token."""


class StoreError(InputError, OSError):
    """The path is not a store that this version can use."""


class StoreNotFoundError(StoreError, FileNotFoundError):
    """There is no store at the path."""


class StoreBusyError(StoreError, BlockingIOError):
    """Another process is building this store."""

    exit_code = 1


class SettingsDifferError(InputError):
    """A store exists that was started with other settings; the message names them."""


class DiskFullError(KotovecError, OSError):
    """No space is left on the disk; completed files stay, and the same command resumes."""


class CorpusError(InputError, OSError):
    """A file of a corpus is gone, has changed, or cannot be read."""


class DamagedError(KotovecError, OSError):
    """A file of the store does not match its checksum."""


class WorkerError(KotovecError, RuntimeError):
    """Workers died, or the code of one raised an error."""


class NotStoredError(InputError, LookupError):
    """The store holds no such space, layer or token id."""


class UnknownTokenError(InputError, KeyError):
    """A term is neither a token nor made of tokens; the message names the nearest ones."""


class ExpressionError(InputError):
    """An expression cannot be read; `position` is the index of the character at fault, from 0."""

    def __init__(self, problem: str, expression: str, position: int, *, hint: str | None = None) -> None:
        super().__init__(problem, hint=hint)
        self.args = (problem, expression, position)  # with which an error is made again from its pickle
        self.problem = problem
        self.expression = expression
        self.position = position

    def __str__(self) -> str:
        """Return the problem, the expression, and a caret under the position."""
        if not self.expression.strip():
            return _in_line(self.problem)
        from unicodedata import combining, east_asian_width

        # A line break or a tab would shift the text after it away from the caret.
        line = "".join(char if char.isprintable() else " " for char in self.expression)
        before = line[: self.position]
        columns = sum(0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1 for char in before)
        return f"{_in_line(self.problem)}\n  {line}\n  {' ' * columns}^"


def _in_line(text: str) -> str:
    return text.replace("\n", "\\n")


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message that says what went wrong, or its type if the message is empty.

    A line that ends in a colon continues with the next one. MeCab's details stand under a heading, at the end. A key
    alone is said to be one: `missing key 'foo'`.
    """
    _, heading, details = str(error).partition(" ERROR DETAILS ")
    lines = [line.strip() for line in (details or str(error)).splitlines() if line.strip(" -")]
    if not lines:
        return type(error).__name__
    if heading:
        return lines[-1]
    ends = (number for number, line in enumerate(lines) if not line.endswith(":"))
    text = " ".join(lines[: next(ends, 0) + 1])
    key_alone = isinstance(error, KeyError) and not isinstance(error, KotovecError)
    return f"missing key {text}" if key_alone else text


def quoted(value: object) -> str:
    """Return what a user typed, or should type, in backticks, with unprintable characters escaped."""
    return f"`{escaped(str(value), keep='')}`"


def choices(values: Iterable[object]) -> str:
    """Return the values to choose from as part of a hint: `l2`, `cosine` or `ip`."""
    *first, last = map(quoted, values)
    return f"{', '.join(first)} or {last}" if first else last


def near_names(name: str, names: Iterable[str]) -> list[str]:
    """Return the known names that may be meant by an unknown one, up to three, the most similar first.

    One that differs only in `_` for `-` or in capitals is returned alone, and those that begin so before others.
    """
    known = list(names)
    if (spelled := name.lower().replace("_", "-")) in known:
        return [spelled]
    if 0 < len(begun := [each for each in known if each.startswith(spelled)]) <= MOST_NEAR:
        return begun
    from difflib import get_close_matches

    return get_close_matches(spelled, known, n=MOST_NEAR)


def last_line(error: BaseException) -> str:
    """Return the last line of an error's message that says something, or the name of its type if none does.

    In an error that quotes a traceback, this is the line that names the exception.
    """
    lines = [line for line in str(error).splitlines() if line.strip(" .")]
    return lines[-1] if lines else type(error).__name__
