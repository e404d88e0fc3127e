"""`kotovec norms`: the norms of the vectors of some words or expressions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from kotovec.cli.arguments import in_shell
from kotovec.cli.chosen import open_store
from kotovec.cli.encodings import echo, own
from kotovec.cli.interrupts import ending_at_once
from kotovec.cli.options import JsonOption, QuietOption, StoreOption, WordsArgument
from kotovec.cli.query import grouped
from kotovec.errors import InputError, NotStoredError, quoted
from kotovec.space import PROTOTYPES, Space
from kotovec.text import doubled, json_line

if TYPE_CHECKING:
    from kotovec.store import Store
    from kotovec.store.terms import ResolvedTerm

MOST_COLUMNS = 4  # with more, each layer is a row and each word a column: a terminal has 80 characters per line


@dataclass(frozen=True)
class _Row:
    """An expression as it was read, and the norms of its vector, one per space; None where the space lacks a row."""

    text: str
    terms: "tuple[ResolvedTerm, ...]"
    notes: tuple[str, ...]
    norms: tuple[float | None, ...]

    @property
    def tokens(self) -> str:
        """The expression with the tokens that its terms stand for."""
        from kotovec.store.expression import Term, render

        tokens = ([doubled(token, term.text) for token in term.tokens] for term in self.terms)
        return render([Term(" | ".join(each), term.weight, 0) for each, term in zip(tokens, self.terms, strict=True)])


def command(
    terms: WordsArgument = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,  # noqa: ARG001 — notes change what a norm means; `silence` has heard it
) -> None:
    """Print the L2 norm of the vector of each word or expression, in every space and layer of the store.

    Example: `kotovec norms 王 子 女 男`
    """
    if not terms:
        raise InputError("no word is given", hint="give some, such as `kotovec norms 王 子 女 男`")
    from kotovec.cli.tables import notice, print_grid, shown

    opened = open_store(store)
    columns = _columns(opened)
    rows = [_read(opened, expression) for expression in _expressions(opened, terms)]
    if as_json:
        for row in rows:
            tokens = [token for term in row.terms for token in term.tokens]
            data = {"term": row.text, "tokens": tokens, "notes": list(row.notes)}
            echo(json_line(data | dict(zip(map(str, columns), row.norms, strict=True))))
        return
    names = [space.title for space in columns]
    if len(names) > MOST_COLUMNS:
        print_grid(
            ["norm of", *(shown(doubled(row.text)) for row in rows)],
            [[name, *(_cell(row.norms[index]) for row in rows)] for index, name in enumerate(names)],
        )
    else:
        print_grid(
            ["term", "token", *names],
            [[shown(doubled(row.text)), shown(row.tokens), *map(_cell, row.norms)] for row in rows],
            left=2,
        )
    for note in dict.fromkeys(note for row in rows for note in row.notes):
        notice(f"note: {in_shell(note)}", quiet=False)


def _columns(store: "Store") -> list[Space]:
    """Return the spaces whose norms are printed: those of prototypes would be those of their means once more."""
    return [space for space in store.spaces if space.name != PROTOTYPES]


def _expressions(store: "Store", words: Sequence[str]) -> Iterator[str]:
    """Yield each argument as an expression; a text with spaces and without operators is one word, as in `query`.

    Raises:
        InputError: an expression was typed without quotes, as `king - man`.
    """
    from kotovec.store.expression import MINUS, PLUS, SIGNS, TIMES

    for index, word in enumerate(words):
        text = word.strip()
        is_operator = text != "" and not text.strip(SIGNS)
        is_signed = index > 0 and text[:1] in (*PLUS, *MINUS, *TIMES) and not store.lookup.known(text)
        if (is_operator or is_signed) and len(words) > 1:
            together = " ".join(each.strip() for each in words)
            raise InputError(
                f"every argument is a term of its own, and {quoted(text)} begins with an operator",
                hint=f'put an expression in quotes: `kotovec norms "{together}"`',
            )
        yield grouped(word) if text else f'"{word}"'


def _read(store: "Store", expression: str) -> _Row:
    import numpy as np

    from kotovec.store.gaps import Gaps
    from kotovec.store.lens import unnamed
    from kotovec.store.question import add, resolve

    with ending_at_once():
        terms, readings = resolve(expression, store.lookup)
    questions, columns, refused = {}, _columns(store), []
    for space in columns:
        of_space = partial(unnamed, store.vectors, space)
        check = Gaps(store.vectors, space).check
        # A row without a token is in the tables alone, and one without a sentence not in context: they have a gap.
        try:
            questions[space] = add(terms, store.array(space), readings, allow_zero=True, unnamed=of_space, check=check)
        except NotStoredError as error:
            refused.append(error)
    notes = [note for space, each in questions.items() for note in each.notes(space)]
    lengths = {space: float(np.linalg.norm(each.vector)) for space, each in questions.items()}
    if not questions and refused and len(terms) == 1:  # the reason that query gives
        raise refused[0]
    if not questions:
        problem = f"no space of this store has all rows of {quoted(expression)}"
        raise NotStoredError(problem, hint="ask for one at a time")
    if len(questions) < len(columns):
        notes.append(f"{expression} has a vector in {', '.join(map(str, questions))} alone")
    text = next(iter(questions.values())).text
    return _Row(text, terms, tuple(dict.fromkeys(notes)), tuple(map(lengths.get, columns)))


def _cell(norm: float | None) -> str:
    return own("—") if norm is None else f"{norm:.4f}"
