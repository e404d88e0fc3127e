"""The sections of a report: what is asked of the stores, and the commands that ask the same."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kotovec.cli.next import EXAMPLES
from kotovec.cli.report_content import Report, Section, Table
from kotovec.cli.report_known import known_section, norm_section
from kotovec.cli.report_measured import analogy_section, pair_section
from kotovec.cli.report_spaces import Held, Request, Texts, asked_as, held_spaces
from kotovec.errors import ExpressionError, KotovecError
from kotovec.text import argument

if TYPE_CHECKING:
    from kotovec.store import Store

TARGETS = dict(zip(EXAMPLES, ("queen", "女王"), strict=True))
NEAREST = 5  # tokens of an answer: as many as fit beside two ranks


def compose(
    stores: "Sequence[tuple[str, Path, Store]]", request: Request, language: str, words: dict[str, str]
) -> Report:
    """Return the report.

    Args:
        stores: what each store is called, its path, and the store.
        request: what is asked.
        language: that of `words`.
        words: the sentences.

    Raises:
        InputError, ExpressionError: the expression, the target or a data set cannot be read.
    """
    held = [Held(title, path, store, held_spaces(store)) for title, path, store in stores]
    title = words["title"].format(stores=words["and"].join(each.title for each in held))
    sections = (
        expression_section(held, request, language, words),
        analogy_section(held, request, words),
        pair_section(held, request, words),
        known_section(held, words),
        norm_section(held, words),
    )
    return Report(language, title, words, sections)


def usual_expression(stores: "Sequence[Store]", language: str) -> str:
    """Return the article's expression in the language whose words more stores have; of both, in that of the report."""
    expressions = EXAMPLES[::-1] if language == "ja" else EXAMPLES
    return max(expressions, key=lambda each: sum(all(word in store for word in each.split()[::2]) for store in stores))


def expression_section(held: Sequence[Held], request: Request, language: str, words: Texts) -> Section:
    """Return the section about the expression: its nearest tokens in every space, and the rank of the target."""
    expression = request.expression or usual_expression([each.store for each in held], language)
    target = request.target or TARGETS.get(expression)
    lines = [words["expression_note"].format(target=target) if target else words["no_target"]]
    rows: list[list[str | int | None]] = []
    asked = []
    for each in held:
        try:
            answered, notes = _answers(each, expression, target)
            rows += answered
            lines += [words["note"].format(store=each.title, note=note) for note in notes]
            asked.append(each)
        except ExpressionError:
            raise
        except KotovecError as error:
            lines.append(words["not_asked"].format(store=each.title, problem=error))
    names = [words["space"], *([words["with_inputs"], words["without_inputs"]] if target else [])]
    texts = [0, *range(len(names), len(names) + NEAREST)]
    tables = [Table(words["nearest"], [*names, *map(str, range(1, NEAREST + 1))], rows, texts)] if rows else []
    ranked = f" --rank {argument(target)}" if target else ""
    commands = [
        f"kotovec query {argument(expression)} {asked_as(asked)} -k {NEAREST}{ranked}{more}"
        for more in (" --exclude-inputs", *([""] if target else []))
        if asked
    ]
    return Section("expression", words["expression"].format(expression=expression), lines, tables, (), commands)


def _answers(held: Held, expression: str, target: str | None) -> tuple[list[list[str | int | None]], list[str]]:
    """Return a row per space: its name, the ranks of the target if there is one, and the nearest tokens.

    Beside them, why the target has no rank.
    """
    targets = [target] if target else []
    rows: list[list[str | int | None]] = []
    notes: dict[str, None] = {}
    for space in held.spaces:
        k = min(NEAREST, len(held.store))
        found = held.store.search(expression, space=space, k=k, exclude_inputs=True)
        ranks = [
            held.store.ranks(expression, targets, space=space, exclude_inputs=exclude)[0]
            for exclude in (False, True)
            if targets
        ]
        notes |= dict.fromkeys(rank.note for rank in ranks if rank.rank is None and rank.note is not None)
        tokens = [hit.token for hit in found.results]
        rows.append([held.named(space), *(rank.rank for rank in ranks), *tokens, *[""] * (NEAREST - len(tokens))])
    return rows, list(notes)
