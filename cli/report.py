"""`kotovec report`: what the spaces of stores make of the article's expression, and what they know, in one file."""

from contextlib import ExitStack
from pathlib import Path

import typer

from kotovec.cli.chosen import find_stores, is_typed, store_titles
from kotovec.cli.evaluate_options import (
    CommonOption,
    DataColumnsOption,
    DrawSeedOption,
    LowerOption,
    MultiOption,
)
from kotovec.cli.interrupts import ending_at_once
from kotovec.cli.list_options import StoresArgument
from kotovec.cli.options import QuietOption
from kotovec.cli.outputs import check_output
from kotovec.cli.report_options import (
    AnalogiesOption,
    AskedOption,
    LanguageOption,
    OutOption,
    PairsOption,
    TargetOption,
)
from kotovec.errors import InputError, choices
from kotovec.text import json_line

ENDINGS = (".html", ".md", ".json")


def command(
    context: typer.Context,
    stores: StoresArgument = None,
    out: OutOption = None,
    expression: AskedOption = None,
    target: TargetOption = None,
    pairs: PairsOption = None,
    analogies: AnalogiesOption = None,
    columns: DataColumnsOption = None,
    multi: MultiOption = "skip",
    lower: LowerOption = False,
    common: CommonOption = False,
    seed: DrawSeedOption = 0,
    language: LanguageOption = "en",
    quiet: QuietOption = False,
) -> None:
    """Report what the spaces of stores know, beside the baselines, as a page, Markdown or data.

    Example: `kotovec report demo.kotovec --out report.html --pairs simlex999`
    """
    from kotovec.cli.report_markdown import make_markdown
    from kotovec.cli.report_page import make_page
    from kotovec.cli.report_sections import compose
    from kotovec.cli.report_spaces import Request
    from kotovec.cli.report_texts import texts
    from kotovec.cli.tables import print_pairs
    from kotovec.store import Store
    from kotovec.store.evaluation.datasets import inputs_of
    from kotovec.store.evaluation.words import Multi
    from kotovec.store.outputs import write_output

    if out is None or out.suffix.lower() not in ENDINGS:
        problem = "no report is named" if out is None else f"--out {out} is no report"
        raise InputError(problem, hint=f"name a file that ends in {choices(ENDINGS)}, as in `--out report.html`")
    ending = out.suffix.lower()
    words, paths = texts(language), find_stores(stores)
    data = inputs_of(name for name in (pairs, analogies) if name is not None)
    check_output(out, ending, option="--out", inputs=[*data, *paths])
    _check_idle(context, pairs, analogies)
    _check_asked(expression, target)
    request = Request(expression, target, pairs, analogies, columns, str(Multi.parse(multi)), lower, common, seed)
    with ExitStack() as opened, ending_at_once():
        held = [opened.enter_context(Store.open(path)) for path in paths]
        found = compose(list(zip(store_titles(paths), paths, held, strict=True)), request, language, words)
    if ending == ".json":
        made = f"{json_line(found.as_dict())}\n"
    else:
        made = make_page(found) if ending == ".html" else make_markdown(found)
    write_output(Path(out), made.encode())
    if not quiet:
        print_pairs([("report", str(out))])


def _check_asked(expression: str | None, target: str | None) -> None:
    """Refuse an expression or a target that is empty, and several targets.

    Raises:
        InputError: there is one.
    """
    from kotovec.store.targets import split_targets

    for name, text in (("expression", expression), ("target", target)):
        if text is not None and not text.strip():
            raise InputError(f"--{name} is empty", hint="name one, or leave it out")
    if target is not None and len(named := split_targets(target)) > 1:
        raise InputError(f"--target names {len(named)} tokens", hint="name one, and a token with a comma in quotes")


def _check_idle(context: typer.Context, pairs: str | None, analogies: str | None) -> None:
    """Refuse an option that is typed and is for a data set that is not named.

    Raises:
        InputError: one is typed.
    """
    if is_typed(context, "columns") and pairs is None:
        raise InputError("--columns is for word pairs, and none are named", hint="add --pairs FILE")
    for name in ("multi", "lower", "common", "seed"):
        if is_typed(context, name) and pairs is None and analogies is None:
            raise InputError(
                f"--{name} is for data sets, and none is named", hint="add --pairs FILE or --analogies FILE"
            )
