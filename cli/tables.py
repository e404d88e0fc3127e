"""Tables of answers and of key-value pairs; tokens are printed as data, never as markup or control codes."""

import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from kotovec.cli.encodings import encodable, message, own, plainly
from kotovec.cli.lines import broken, columns
from kotovec.text import WIDE_SPACE, counted, distinct, doubled, escaped, isolated, json_line

if TYPE_CHECKING:
    from kotovec.store import Answer
    from kotovec.store.tokens import Tokens

_LEAST_FIRST = ("input", "id", "score", "rank")  # columns in the order in which a narrow terminal loses them
_TOKEN_ROOM = 8  # columns that tokens keep, or as many as the longest of them has
WIDE = 10_000  # columns if the output is not a terminal, so that nothing is cut or folded


def console(*, stderr: bool = False) -> Console:
    """Return a console for stdout or stderr that neither wraps nor cuts what is written to a file."""
    make = partial(Console, stderr=stderr, highlight=False, markup=False, emoji=False)
    plain = make()
    return plain if plain.is_terminal and plain.file.isatty() else make(width=WIDE)


def _print(*renderables: RenderableType) -> None:
    """Print on stdout; a file or a pipe gets no blanks at the end of a line, where a terminal has its columns."""
    out = console()
    with nullcontext() if out.is_terminal else out.capture() as captured:
        for each in renderables:
            out.print(each)
    if captured is not None:
        sys.stdout.write("\n".join(line.rstrip(" ") for line in captured.get().split("\n")))
        sys.stdout.flush()


def shown(token: str) -> str:
    """Return a token escaped for a terminal and a TSV field: no invisible characters, no control codes."""
    visible = escaped(token, keep="")
    return visible if token.strip() else f'"{visible}"'


def _cell(text: str, style: str = "") -> Text:
    """Return a text that was escaped as a cell, or as a title: whatever its script, its neighbours keep their place."""
    return Text(_isolated(text), style=style)


def _isolated(text: str) -> str:
    return isolated(text) if _has_isolates() else encodable(text)


def _has_isolates() -> bool:
    """Return whether the output can hold isolates; in other encodings they would be escapes, wider than measured."""
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"


def harmless(text: str) -> str:
    """Return the message of an error escaped for a terminal; line breaks stay, as only kotovec puts any into one."""
    return escaped(text, keep=f"\n{WIDE_SPACE}")


def error_lines(problem: str, hint: str | None) -> str:
    """Return what is printed of an error: its message and, on a line of its own, the hint.

    On a terminal both are in lines that fit; of an expression with a caret under it, the part around the caret stays.
    """
    width = columns(stderr=True)
    first, *pointed = harmless(problem).split("\n")
    if len(pointed) == 2:  # noqa: PLR2004 — an expression and its caret
        pointed = _as_encoded(*pointed)
        pointed = around(pointed[0], pointed[1], width) if width else pointed
    lines = [broken(f"error: {message(first, stderr=True)}", width, follow="  "), *pointed]
    if hint is not None:
        lines.append(broken(f"hint: {message(escaped(hint), stderr=True)}", width, follow="  "))
    return "\n".join(lines)


def _as_encoded(line: str, caret: str) -> list[str]:
    """Return a line as stderr shows it, and the caret where it then points: escapes before it are wider."""
    column = cell_len(caret) - 1
    index = next((index for index in range(len(line)) if cell_len(line[:index]) >= column), len(line))
    before = encodable(line[:index], stderr=True)
    blanks = " " * (cell_len(before) + column - cell_len(line[:index]))
    return [encodable(line, stderr=True), f"{blanks}^"]


def around(line: str, caret: str, width: int) -> list[str]:
    """Return what fits of a line and of the caret under it; `…` stands where the line is cut."""
    if cell_len(line) <= width:
        return [line, caret]
    margin = len(line) - len(line.lstrip())
    column = cell_len(caret) - 1 - margin  # of the caret in the text
    text, room = line[margin:], width - margin - 2
    starts = [cell_len(text[:index]) for index in range(len(text))]
    first = next(index for index, start in enumerate(starts) if start >= min(column, max(0, column - room // 2)))
    last = max(index for index, start in enumerate(starts) if start + cell_len(text[index]) <= starts[first] + room)
    cut = plainly("…", ".", stderr=True)  # in one column
    before, after = cut if first else "", cut if last < len(text) - 1 else ""
    moved = column - starts[first] + len(before)
    return [f"{' ' * margin}{before}{text[first : last + 1]}{after}", f"{' ' * (margin + moved)}^"]


def print_answers(answers: Sequence["Answer"], notes: Iterable[str] = ()) -> None:
    """Print the answers to one expression, then notes.

    Two spaces are printed side by side, or one below the other if the terminal is too narrow.
    """
    out = console()
    # A title of the table itself would be folded at the width of the table.
    _print_lines(_title(answers), out, "bold")
    if len(answers) > 1 and not _fits(_answer_table(answers), out):
        for answer in answers:
            _print(Text(_isolated(shown(answer.heading)), style="bold"), _narrowed([answer], out))
    else:
        _print(_narrowed(answers, out))
    for line in rank_lines(answers):
        _print_lines(_isolated(line), out)
    for note in notes:
        _print_lines(_isolated(message(f"note: {shown(note)}")), out)


def _named(answer: "Answer", space: str = "") -> str:
    """Return the space of an answer in short, after the store where several were asked: `bert static`."""
    space = space or str(answer.space)
    return space if answer.store is None else f"{shown(answer.store)} {space}"


def rank_lines(answers: Sequence["Answer"]) -> Iterable[str]:
    """Yield a line per target with its rank in every space: `rank of queen: 1 (static), 3 (isolated@12)`."""
    for ranks in zip(*(answer.ranks for answer in answers), strict=True):
        stands = (
            f"{own('—') if each.rank is None else f'{each.rank:,}'} ({_named(answer)})"
            for each, answer in zip(ranks, answers, strict=True)
        )
        yield f"rank of {shown(ranks[0].target)}: {', '.join(stands)}"


def _print_lines(text: str, out: Console, style: str = "") -> None:
    out.print(Text(broken(text, out.width, follow="  "), style=style), soft_wrap=True)


def _fits(table: Table, out: Console) -> bool:
    return Measurement.get(out, out.options.update(max_width=WIDE), table).maximum <= out.width


def _fitting(make: Callable[..., Table], out: Console) -> Table:
    """Return a table with columns that stand close together if it is too wide otherwise."""
    table = make(close=False)
    return table if _fits(table, out) else make(close=True)


def _narrowed(answers: Sequence["Answer"], out: Console) -> Table:
    """Return a table of answers with room for their tokens: what says less than they do is left out first."""
    tokens = [shown(hit.token) for answer in answers for hit in answer.results]
    longest = max(map(cell_len, [*tokens, "token"]))
    for count in range(len(_LEAST_FIRST) + 1):
        table = _fitting(partial(_answer_table, answers, without=_LEAST_FIRST[:count]), out)
        widest = Measurement.get(out, out.options.update(max_width=WIDE), table).maximum
        if out.width - (widest - longest) >= min(longest, _TOKEN_ROOM):
            break
    return table


def _answer_table(answers: Sequence["Answer"], *, close: bool = False, without: Sequence[str] = ()) -> Table:
    """Return a table of answers side by side; where there is no room, tokens are folded, and numbers are not.

    The answer is bold, which is the nearest token that is no input, and inputs are dim.
    """
    table = _table(close=close)
    if "rank" not in without:
        table.add_column("rank", justify="right", no_wrap=True)
    names = [_named(answer, answer.space.name) for answer in answers]
    if len(set(names)) < len(names):  # two layers of one space
        names = [shown(answer.heading) for answer in answers]
    for index in range(len(answers)):
        table.add_column(_cell(names[index]) if len(answers) > 1 else "token", overflow="fold")
        for name in (name for name in ("id", "score", "input") if name not in without):
            table.add_column(name, justify="left" if name == "input" else "right", no_wrap=True)
    scores = [distinct([hit.score for hit in answer.results]) for answer in answers]
    best = [next((hit for hit in answer.results if not hit.is_input), None) for answer in answers]
    for index in range(max(len(answer.results) for answer in answers)):
        cells: list[Text] = [] if "rank" in without else [Text(str(index + 1))]
        for answer, nearest, score in zip(answers, best, scores, strict=True):
            if index < len(answer.results):
                hit = answer.results[index]
                mark = "input" if hit.is_input else ""
                style = "dim" if hit.is_input else "bold" if hit is nearest else ""
                token = shown(doubled(hit.token, hit.text))
                texts = {"token": token, "id": str(hit.id), "score": score[index], "input": mark}
                cells += [_cell(text, style) for name, text in texts.items() if name not in without]
            else:
                cells += [Text("")] * (1 + len({"id", "score", "input"}.difference(without)))
        table.add_row(*cells)
    return table


def _table(*, close: bool) -> Table:
    """Return an empty table in the one style that all have: a line under the header, nothing around.

    Args:
        close: one column between two others, not three.
    """
    return Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 0 if close else 1))


def _title(answers: Sequence["Answer"]) -> str:
    """Return the expression, the spaces, and how to read a score: `王 + 女  (static; cosine, larger is nearer)`."""
    from kotovec.store.metric import Metric

    first = answers[0]
    spaces = " | ".join(shown(answer.heading) for answer in answers)
    return f"{_isolated(shown(doubled(first.expression)))}  ({spaces}; {Metric(first.metric).direction})"


def tsv_lines(answers: Sequence["Answer"]) -> Iterable[str]:
    """Yield a header and one line per hit: store if there are several, space, rank, token, id, score, is_input."""
    several = any(answer.store is not None for answer in answers)
    yield "\t".join((*(("store",) if several else ()), "space", "rank", "token", "id", "score", "is_input"))
    for answer in answers:
        for hit in answer.results:
            yield "\t".join(
                (
                    *((tsv_field(answer.store),) if answer.store is not None else ()),
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
    return _quoted(json_line(token)[1:-1].replace('\\"', '"').replace(WIDE_SPACE, "\\u3000"))


def tsv_list(tokens: Sequence[str]) -> str:
    """Return tokens as one field of tab-separated values: an array of JSON, quoted as `csv` and pandas read it."""
    return _quoted(json_line(tokens).replace(WIDE_SPACE, "\\u3000"))


def _quoted(field: str) -> str:
    return '"' + field.replace('"', '""') + '"' if '"' in field else field


def print_pairs(pairs: Iterable[tuple[str, Any]]) -> None:
    """Print names and values in two columns; a path, a checksum or a command is never broken."""
    out, pairs = console(), list(pairs)
    margin = max((cell_len(name) for name, _ in pairs), default=0) + 3
    for name, value in pairs:
        text = _isolated(escaped(str(value)))
        lines = text if name == "command" else broken(text, max(1, out.width - margin))
        label = f" {name}".ljust(margin)
        shifted = lines.replace("\n", "\n" + " " * margin)
        out.print(Text.assemble((label, "bold"), shifted), soft_wrap=True)


def print_commands(name: str, commands: Iterable[str]) -> None:
    """Print commands under each other, beside a name if there is room; never folded, so that they can be copied."""
    out, commands = console(), list(commands)
    margin = len(name) + 3
    if margin + max(map(cell_len, commands)) > out.width:
        out.print(Text(f" {name}", style="bold"))
        name, margin = "", 0
    for index, command in enumerate(commands):
        label = Text(f" {name}".ljust(margin) if index == 0 and name else " " * margin, style="bold")
        out.print(Text.assemble(label, encodable(escaped(command))), soft_wrap=True)


def print_grid(columns: Sequence[str], rows: Iterable[Sequence[str]], *, left: int = 1) -> None:
    """Print a table; the first `left` columns are text, and the others are numbers."""
    print_table(columns, ([*map(escaped, row)] for row in rows), numbers=columns[left:])


def print_title(text: str) -> None:
    """Print the title of a table, in lines that fit."""
    _print_lines(_isolated(shown(text)), console(), "bold")


def print_table(names: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Iterable[str] = ()) -> None:
    """Print a table of cells that are escaped already; the columns of these names are numbers.

    Where a terminal has no room for it, each row is printed as names and values instead: nothing is cut.
    """
    out, rows, numbers = console(), list(rows), set(numbers)

    def made(*, close: bool) -> Table:
        table = _table(close=close)
        for name in names:
            if name in numbers:
                table.add_column(_cell(name), justify="right", no_wrap=True)
            else:
                table.add_column(_cell(name), overflow="fold")
        for row in rows:
            table.add_row(*map(_cell, row))
        return table

    table = _fitting(made, out)
    if _fits(table, out):
        _print(table)
        return
    for index, row in enumerate(rows):
        if index:
            out.print()
        print_pairs(zip(names, row, strict=True))


def print_quotes(title: str, groups: Mapping[str, Sequence[str]], token: str) -> None:
    """Print a title and numbered quotes, in which a token is bold wherever its letters stand, under their headings."""
    out = console()
    _print_lines(_isolated(shown(title)), out, "bold")
    width = len(str(max(map(len, groups.values()), default=0)))
    for heading, quotes in groups.items():
        if heading:
            _print_lines(_isolated(shown(heading)), out)
        for number, quote in enumerate(quotes, start=1):
            head = f"{number:>{width}}  "
            lines = Text(broken(_isolated(shown(quote)), out.width, indent=head, follow=" " * len(head)))
            if token:
                lines.highlight_regex(rf"(?i){re.escape(shown(token))}", style="bold")
            out.print(lines, soft_wrap=True)


def notice(text: str, *, quiet: bool) -> None:
    """Print a line on stderr, unless quiet."""
    if not quiet:
        _print_lines(message(escaped(text), stderr=True), console(stderr=True))


def left_out(
    rows_without_token: int, tokens_without_row: int, filtered: int, token_filter: str
) -> list[tuple[str, str]]:
    """Return the line, for a person, of how many rows and tokens of a model a store leaves out; none if it has all."""
    parts = (
        (rows_without_token, "row", "without a token"),
        (tokens_without_row, "token", "without a row"),
        (filtered, "token", f"not of the kinds {token_filter}"),
    )
    text = ", ".join(f"{counted(count, noun)} {why}" for count, noun, why in parts if count)
    return [("left out", text)] if text else []


def template(prefix: Iterable[int], suffix: Iterable[int], tokens: "Tokens | None", noun: str = "token") -> str:
    """Return the template of a model, for a person: `[CLS] token [SEP]`; `#101` is the id of a token left out."""
    texts = {} if tokens is None else dict(zip(tokens.ids.tolist(), tokens.surfaces, strict=True))
    before, after = ([texts.get(each, f"#{each}") for each in map(int, ids)] for ids in (prefix, suffix))
    return " ".join([*before, noun, *after])


def words_origin(about: Mapping[str, Any]) -> str:
    """Return where the words of a store came from: `words.txt, column lemma (mean of each word's tokens)`."""
    source = str(about["file"]) or "a list in Python"
    column = f", column {about['column']}" if about["column"] else ""
    pooled = "mean of each word's tokens" if about["pooling"] == "mean" else f"{about['pooling']} token of each word"
    return f"{source}{column} ({pooled})"


def words_left_out(about: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the line, for a person, of how many words of a list a store leaves out; none if it has all."""
    parts = (
        counted(about["duplicates"], "duplicate") if about["duplicates"] else "",
        counted(about["blanks"], "blank line") if about["blanks"] else "",
        f"{about['unspelled']:,} unknown to the tokenizer" if about["unspelled"] else "",
        f"{about['too_long']:,} too long" if about["too_long"] else "",
    )
    text = ", ".join(filter(None, parts))
    return [("left out", text)] if text else []


def mecab(dictionary: str, *, assumed: bool) -> str:
    """Return the MeCab dictionary of a model, and whether kotovec had to choose it."""
    return f"{dictionary} (the model names none: ipadic, as when it was made)" if assumed else dictionary


def megabytes(size: float) -> str:
    """Return bytes as megabytes for a person."""
    return f"{size / 1e6:,.1f} MB"
