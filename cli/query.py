"""`kotovec query`: the nearest tokens of an expression, or of every expression in a file."""

import gc
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from kotovec.cli.arguments import in_shell
from kotovec.cli.chosen import ask_spaces, find_stores, is_ambient, lowered, open_store, store_titles
from kotovec.cli.encodings import echo
from kotovec.cli.evaluate_options import SeveralStoresOption
from kotovec.cli.interrupts import ending_at_once
from kotovec.cli.options import (
    CountOption,
    DeviceOption,
    ExactOption,
    ExcludeOption,
    ExpressionArgument,
    FileOption,
    JsonOption,
    LayerOption,
    MetricOption,
    QuietOption,
    RankOption,
    ScriptOption,
    SpaceOption,
    TsvOption,
    UnitOption,
    VerifyOption,
    WithinOption,
    WordsOption,
)
from kotovec.errors import DamagedError, InputError, KotovecError, NotStoredError, UnknownTokenError
from kotovec.space import Space
from kotovec.text import json_line, parts

if TYPE_CHECKING:
    from kotovec.store import Answer, Store

RARELY = 100_000  # objects allocated, and not freed, between two garbage collections
BATCH = 4096  # most expressions of a file per matrix product: 25 MB at 768 dimensions
ANSWERS = 65536  # most tokens in the answers to a batch: 30 MB
QUESTIONS = 64 << 20  # most bytes of their vectors, in float64: of 131,072 dimensions, 4,096 take 4 GB
STRANGE = "surrogateescape"  # what is not UTF-8 is read, too, so that the line can be named
UTF_16 = ("\udcff\udcfe", "\udcfe\udcff")  # the byte order marks, so read
LONGEST = 1 << 20  # most characters of a line in a file, which is read line by line


def command(
    context: typer.Context,
    expression: ExpressionArgument = None,
    store: SeveralStoresOption = None,
    space: SpaceOption = "static",
    within: WithinOption = None,
    layer: LayerOption = None,
    metric: MetricOption = "l2",
    k: CountOption = 10,
    exclude_inputs: ExcludeOption = False,
    unit_terms: UnitOption = False,
    words_only: WordsOption = False,
    script: ScriptOption = None,
    rank: RankOption = None,
    exact: ExactOption = False,
    file: FileOption = None,
    device: DeviceOption = "auto",
    verify: VerifyOption = False,
    tsv: TsvOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Find the tokens nearest to a sum of tokens.

    Example: `kotovec query 王 - 男 + 女 --space both`
    """
    file, tsv, as_json = _agreed(context, expression, file, tsv=tsv, as_json=as_json)
    options: dict[str, Any] = {
        "metric": metric,
        "k": k,
        "exclude_inputs": exclude_inputs,
        "unit_terms": unit_terms,
        "words_only": words_only,
        "script": script,
        "device": device,
        "exact": exact,
        "within": within,
    }
    targets = [] if rank is None else _targets(rank)
    # Python would collect garbage 70 times during imports, which leave none: 15 ms.
    gc.set_threshold(RARELY)
    paths, asked = find_stores(store), join(expression or [])
    if file is not None:
        if len(paths) > 1:
            raise InputError("--file asks one store, not several", hint="name one, and ask the others after it")
        opened = open_store(paths[0], verify=verify)
        with ending_at_once():
            _answer_file(opened, file, ask_spaces(space, layer, opened.spaces), _fitted(options, opened), targets)
        return
    with ending_at_once():
        answers = _answer_all(paths, asked, (space, layer), options, targets, verify=verify)
    print_result(answers, as_json=as_json, tsv=tsv, quiet=quiet, note=in_shell)


def _targets(text: str) -> list[str]:
    from kotovec.store.targets import split_targets

    found = split_targets(text)
    if not all(found):
        hint = "name tokens with commas between them, such as `queen,princess`, and a comma itself in quotes"
        raise InputError("--rank names an empty token", hint=hint)
    return found


def _agreed(
    context: typer.Context, expression: list[str] | None, file: str | None, *, tsv: bool, as_json: bool
) -> tuple[str | None, bool, bool]:
    """Return the file, and whether TSV or JSON is printed; what the environment sets gives way to the command line.

    Raises:
        InputError: two options exclude each other, or nothing is asked.
    """
    if expression and file is not None and is_ambient(context, "file"):
        file = None
    if [word.strip() for word in expression or ()] == ["-"] and file is None:
        raise InputError(
            "`-` is an operator, and no token is given",
            hint="use `--file -` for standard input, or '\"-\"' for the token",
        )
    if bool(expression) == (file is not None):
        problem = "no expression is given" if file is None else "an expression and --file are given"
        raise InputError(problem, hint="give one, such as `king - man + woman`, or --file with one per line")
    if file == "":
        raise InputError("--file names no file", hint="give its path, or `-` for standard input")
    if tsv and as_json:
        ambient = {name: is_ambient(context, name) for name in ("tsv", "as_json")}
        if ambient["tsv"] == ambient["as_json"]:
            named = ("KOTOVEC_JSON and KOTOVEC_TSV are set", "unset one of them")
            raise (
                InputError(named[0], hint=named[1])
                if ambient["tsv"]
                else InputError("--json and --tsv are given", hint="give one of them")
            )
        tsv, as_json = not ambient["tsv"], not ambient["as_json"]
    if file is not None and tsv:
        if not is_ambient(context, "tsv"):
            raise InputError("--file prints JSON lines, not tab-separated values", hint="leave out --tsv")
        tsv = False
    return file, tsv, as_json


def join(words: Sequence[str]) -> str:
    """Return the expression that a shell has split into words; it took away the quotes of `"new york" + king`.

    Raises:
        InputError: the shell seems to have read a `*` as the names of the files here.
    """
    if len(words) == 1:
        return words[0].strip()
    here = {path.name for path in Path().glob("[!.]*")}
    files = [word for word in words if word in here]
    if len(files) == len(here) and any("." in name for name in here):
        raise InputError(
            f"the expression holds the names of all files here ({files[0]}, …)",
            hint="put an expression with * in quotes: the shell replaces it",
        )
    return " ".join(map(grouped, words)).strip()


def grouped(word: str) -> str:
    """Return an argument, in the quotes that the shell took away if it has spaces and no operators: `new york`."""
    from kotovec.store.expression import APOSTROPHES, QUOTES, SIGNS

    text = word.strip()
    is_text = " " in text and text[0] not in QUOTES and not ({*SIGNS, *QUOTES} - set(APOSTROPHES)) & set(word)
    return f'"{word}"' if is_text else word


def _answer_all(
    paths: Sequence[Path],
    expression: str,
    named: tuple[str, int | None],
    options: dict[str, Any],
    targets: Sequence[str],
    *,
    verify: bool,
) -> "list[Answer]":
    """Return the answers of every store in the spaces that it has of those named; each says which store it is of.

    Raises:
        NotStoredError: no store has one of the spaces.
        UnknownTokenError: one of them cannot spell a term.
    """
    space, layer = named
    if len(paths) == 1:
        return _answer(paths[0], expression, lambda stored: ask_spaces(space, layer, stored), options, targets, verify)
    refused: dict[str, dict[Path, NotStoredError]] = {}
    answers = []
    for title, path in zip(store_titles(paths), paths, strict=True):

        def held(stored: Sequence[Space], path: Path = path) -> list[Space]:
            found: dict[Space, None] = {}
            for name in parts(space):
                try:
                    found |= dict.fromkeys(ask_spaces(type(space)(name), layer, stored))
                except NotStoredError as error:
                    refused.setdefault(name, {})[path] = error
            return list(found)

        try:
            own = _answer(path, expression, held, options, targets, verify)
        except UnknownTokenError as error:
            raise UnknownTokenError(f"{title}: {error}", hint=error.hint) from error
        answers += [replace(answer, store=title) for answer in own]
    for errors in refused.values():
        if len(errors) == len(paths):
            raise errors[paths[0]]
    return answers


def _answer(
    path: Path,
    expression: str,
    choose: Callable[[Sequence[Space]], Sequence[Space]],
    options: dict[str, Any],
    targets: Sequence[str],
    verify: bool,
) -> "list[Answer]":
    answers = None
    while answers is None:
        opened = open_store(path, verify=verify)
        try:
            spaces, options = choose(opened.spaces), _fitted(options, opened)
            answers = [
                _ranked(opened, opened.search(expression, space=each, **options), each, options, targets, expression)
                for each in spaces
            ]
        except DamagedError:
            if not opened.replaced:  # else a build has just replaced the store, and its tokenizer with it
                raise
    return answers


def _ranked(
    store: "Store", answer: "Answer", space: Space, options: dict[str, Any], targets: Sequence[str], text: str
) -> "Answer":
    """Return an answer to an expression with the ranks of targets."""
    if not targets:
        return answer
    how = {name: value for name, value in options.items() if name not in ("k", "device", "exact")}
    return replace(answer, ranks=tuple(store.ranks(text, targets, space=space, **how)))


def _fitted(options: dict[str, Any], store: "Store") -> dict[str, Any]:
    return options | {"k": lowered(options["k"], len(store))}


def print_result(
    answers: "list[Answer]",
    *,
    as_json: bool = False,
    tsv: bool = False,
    quiet: bool = False,
    note: Callable[[str], str] = str,
) -> None:
    """Print the answers to one expression as a table, JSON or TSV.

    Notes say what else an answer means than one would expect: if quiet, they leave the table for stderr. `note` returns
    one as it is printed for a person; JSON has them as Python.
    """
    if as_json:
        for answer in answers:
            echo(json_line(answer.as_dict()))
        return
    from kotovec.cli.tables import notice, print_answers, rank_lines, tsv_lines

    every = (each for answer in answers for each in (*answer.notes, *(rank.note for rank in answer.ranks)) if each)
    notes = [note(each) for each in dict.fromkeys(every)]
    if tsv:
        for line in tsv_lines(answers):
            echo(line)
        for line in rank_lines(answers):
            notice(line, quiet=False)
    else:
        print_answers(answers, () if quiet else notes)
    if tsv or quiet:
        for each in notes:
            notice(f"note: {each}", quiet=False)


def _answer_file(
    store: "Store", file: str, spaces: Sequence[Space], options: dict[str, Any], targets: Sequence[str]
) -> None:
    """Answer every line of a file, many per matrix product; print an error as JSON for a line that has one."""
    from kotovec.cli.tables import notice

    lines = (line.strip() for line in read_lines(file) if line.strip())
    widest = max(store.array(space).shape[1] for space in spaces)
    together = min(BATCH, max(1, ANSWERS // max(1, options["k"] * len(spaces))), max(1, QUESTIONS // (8 * widest)))
    failed = total = 0
    while batch := list(islice(lines, together)):
        total += len(batch)
        for answered in _answer_lines(store, batch, spaces, options, targets):
            failed += "error" in answered
            echo(json_line(answered))
    if failed:
        notice(f"error: {failed} of {total} lines could not be answered; each says why", quiet=False)
        raise typer.Exit(InputError.exit_code)


def _answer_lines(
    store: "Store", lines: list[str], spaces: Sequence[Space], options: dict[str, Any], targets: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Yield the answers to some lines in order: one per space, or one error for a line that has one."""
    errors: dict[int, KotovecError] = {}
    for number, line in enumerate(lines):
        try:
            for space in spaces:
                store.question(line, space, unit_terms=options["unit_terms"])
        except KotovecError as error:
            errors[number] = error
    good = [line for number, line in enumerate(lines) if number not in errors]
    answers = [iter(store.search_many(good, space=space, **options)) for space in spaces]
    for number, line in enumerate(lines):
        if number in errors:
            yield {"expression": line, "error": str(errors[number]), "hint": errors[number].hint}
        else:
            for space, found in zip(spaces, answers, strict=True):
                yield _ranked(store, next(found), space, options, targets, line).as_dict()


def read_lines(file: str, wanted: str = "one expression per line") -> Iterator[str]:
    """Yield the lines of a file of text, or of standard input for `-`, with their ends.

    Args:
        file: the path, or `-`.
        wanted: what a hint asks for.

    Raises:
        InputError: it cannot be read, is not UTF-8 (the message names the line), or has a line of more than a million
            characters.
    """
    if file == "-" and isinstance(sys.stdin, TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8", errors=STRANGE)  # whatever the locale is
    named, number = "standard input" if file == "-" else file, 0
    try:
        with nullcontext(sys.stdin) if file == "-" else Path(file).open(encoding="utf-8", errors=STRANGE) as stream:
            # Not splitlines(), which also breaks at characters such as U+2028 that may be part of a token.
            while line := stream.readline(LONGEST):
                number += 1
                if len(line) == LONGEST and not line.endswith("\n"):
                    raise InputError(
                        f"line {number} of {named} has more than {LONGEST:,} characters",
                        hint=f"give {wanted}",
                    )
                if not _is_text(line):
                    kind = "UTF-16" if number == 1 and line.startswith(UTF_16) else "not UTF-8"
                    raise InputError(f"line {number} of {named} is {kind}", hint="save it as UTF-8")
                yield line if number > 1 else line.removeprefix("\ufeff")
    except OSError as error:
        hint = f"name a file with {wanted}, or `-` for standard input"
        raise InputError(f"{named} cannot be read: {error.strerror}", hint=hint) from error


def _is_text(line: str) -> bool:
    try:
        line.encode()
    except UnicodeEncodeError:  # what was not UTF-8
        return False
    return True
