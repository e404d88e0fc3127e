"""Tables of answers and of key-value pairs; tokens are printed as data, never as markup or control codes."""

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from kotovec.text import WIDE_SPACE, counted, distinct, escaped, isolated, json_line

if TYPE_CHECKING:
    from kotovec.store import Answer

WIDE = 10_000  # columns if the output is not a terminal, so that nothing is cut or folded


def console(*, stderr: bool = False) -> Console:
    """Return a console for stdout or stderr that neither wraps nor cuts what is written to a file."""
    plain = Console(stderr=stderr, highlight=False)
    return plain if plain.is_terminal else Console(stderr=stderr, highlight=False, width=WIDE)


def shown(token: str) -> str:
    """Return a token escaped for a terminal and a TSV field: no invisible characters, no control codes."""
    visible = escaped(token, keep="")
    return visible if token.strip() else f'"{visible}"'


def _cell(text: str, style: str = "") -> Text:
    """Return a text that was escaped as a cell, or as a title: whatever its script, its neighbours keep their place."""
    return Text(isolated(text) if _has_isolates() else text, style=style)


def _has_isolates() -> bool:
    """Return whether the output can hold isolates; in other encodings they would be escapes, wider than measured."""
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"


def harmless(text: str) -> str:
    """Return the message of an error escaped for a terminal; line breaks stay, as only kotovec puts any into one."""
    return escaped(text, keep=f"\n{WIDE_SPACE}")


def error_lines(message: str, hint: str | None) -> str:
    """Return what is printed of an error: its message and, on a line of its own, the hint."""
    line = f"error: {harmless(message)}"
    return line if hint is None else f"{line}\nhint: {escaped(hint)}"


def print_answers(answers: Sequence["Answer"], *, quiet: bool = False) -> None:
    """Print the answers to one expression, then, unless quiet, the notes.

    Two spaces are printed side by side, or one below the other if the terminal is too narrow.
    """
    out = console()
    table = _answer_table(answers)
    # A title of the table itself would be folded at the width of the table.
    out.print(_title(answers))
    if len(answers) > 1 and Measurement.get(out, out.options.update(max_width=WIDE), table).maximum > out.width:
        for answer in answers:
            out.print(Text(answer.space.title, style="bold"))
            out.print(_answer_table([answer]))
    else:
        out.print(table)
    for note in () if quiet else dict.fromkeys(note for answer in answers for note in answer.notes):
        out.print(_cell(f"note: {shown(note)}"))


def _answer_table(answers: Sequence["Answer"]) -> Table:
    """Return a table of answers side by side; tokens may be folded, numbers are not.

    The answer is bold, which is the nearest token that is no input, and inputs are dim.
    """
    table = _table()
    table.add_column("rank", justify="right", no_wrap=True)
    names = [answer.space.name for answer in answers]
    if len(set(names)) < len(names):  # two layers of one space
        names = [str(answer.space) for answer in answers]
    for index in range(len(answers)):
        table.add_column(names[index] if len(answers) > 1 else "token", overflow="fold")
        table.add_column("id", justify="right", no_wrap=True)
        table.add_column("score", justify="right", no_wrap=True)
        table.add_column("input", no_wrap=True)
    scores = [distinct([hit.score for hit in answer.results]) for answer in answers]
    best = [next((hit for hit in answer.results if not hit.is_input), None) for answer in answers]
    for index in range(max(len(answer.results) for answer in answers)):
        cells: list[Text] = [Text(str(index + 1))]
        for answer, nearest, score in zip(answers, best, scores, strict=True):
            if index < len(answer.results):
                hit = answer.results[index]
                mark = "input" if hit.is_input else ""
                style = "dim" if hit.is_input else "bold" if hit is nearest else ""
                texts = (shown(hit.token), str(hit.id), score[index], mark)
                cells += [_cell(text, style) for text in texts]
            else:
                cells += [Text("")] * 4
        table.add_row(*cells)
    return table


def _table(**options: Any) -> Table:
    """Return an empty table in the one style that all have: a line under the header, nothing around."""
    return Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, **options)


def _title(answers: Sequence["Answer"]) -> Text:
    """Return the expression, the spaces, and how to read a score: `王 + 女  (static; cosine, larger is nearer)`."""
    from kotovec.store.metric import Metric

    first = answers[0]
    spaces = " | ".join(answer.space.title for answer in answers)
    expression = _cell(shown(first.expression))
    return Text.assemble(expression, f"  ({spaces}; {Metric(first.metric).direction})", style="bold")


def tsv_lines(answers: Sequence["Answer"]) -> Iterable[str]:
    """Yield a header and one line per hit: space, rank, token, id, score, whether it is an input."""
    yield "space\trank\ttoken\tid\tscore\tis_input"
    for answer in answers:
        for hit in answer.results:
            yield "\t".join(
                (
                    str(answer.space),
                    str(hit.rank),
                    tsv_field(hit.token),
                    str(hit.id),
                    repr(hit.score),
                    str(int(hit.is_input)),
                )
            )


def tsv_field(token: str) -> str:
    r"""Return a token as a field of tab-separated values, which `csv` and pandas read, in one line.

    What cannot be seen is an escape of JSON, such as `\n` or `\u200b`, and a backslash is two, so that a line break
    and a token of the letters `\n` differ. A field with quotes is quoted: they would span lines otherwise.
    """
    visible = json_line(token)[1:-1].replace('\\"', '"').replace(WIDE_SPACE, "\\u3000")
    return '"' + visible.replace('"', '""') + '"' if '"' in visible else visible


def print_pairs(pairs: Iterable[tuple[str, Any]]) -> None:
    """Print names and values in two columns."""
    table = Table(box=None, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in pairs:
        table.add_row(Text(name), _cell(escaped(str(value))))
    console().print(table)


def print_commands(name: str, commands: Iterable[str]) -> None:
    """Print commands under each other, beside a name if there is room; never folded, so that they can be copied."""
    out, commands = console(), list(commands)
    margin = len(name) + 3
    if margin + max(map(cell_len, commands)) > out.width:
        out.print(Text(f" {name}", style="bold"))
        name, margin = "", 0
    for index, command in enumerate(commands):
        label = Text(f" {name}".ljust(margin) if index == 0 and name else " " * margin, style="bold")
        out.print(Text.assemble(label, escaped(command)), soft_wrap=True)


def print_grid(columns: Sequence[str], rows: Iterable[Sequence[str]], *, left: int = 1) -> None:
    """Print a table; the first `left` columns are text, which may be folded, and the others are numbers."""
    table = _table()
    for index, column in enumerate(columns):
        if index < left:
            table.add_column(column, overflow="fold")
        else:
            table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*(_cell(escaped(cell)) for cell in row))
    console().print(table)


def print_table(names: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Iterable[str] = ()) -> None:
    """Print a table of cells that are escaped already; the columns of these names are numbers, which are not folded."""
    table, numbers = _table(), set(numbers)
    for name in names:
        if name in numbers:
            table.add_column(name, justify="right", no_wrap=True)
        else:
            table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*map(_cell, row))
    console().print(table)


def notice(text: str, *, quiet: bool) -> None:
    """Print a line on stderr, unless quiet."""
    if not quiet:
        console(stderr=True).print(Text(escaped(text)), soft_wrap=True)


def left_out(rows_without_token: int, tokens_without_row: int, filtered: int, token_filter: str) -> str:
    """Return, for a person, how many rows and tokens of a model a store leaves out."""
    rows, tokens = counted(rows_without_token, "row"), counted(tokens_without_row, "token")
    text = f"{rows} without a token, {tokens} without a row"
    return f"{text}, {counted(filtered, 'token')} not of the kinds {token_filter}" if filtered else text


def mecab(dictionary: str, *, assumed: bool) -> str:
    """Return the MeCab dictionary of a model, and whether kotovec had to choose it."""
    return f"{dictionary} (the model names none: ipadic, as when it was made)" if assumed else dictionary


def megabytes(size: float) -> str:
    """Return bytes as megabytes for a person."""
    return f"{size / 1e6:,.1f} MB"
