"""The options of the commands about tokens: `tokens`, `audit` and `coverage`."""

from pathlib import Path
from typing import Annotated

import typer

from kotovec.cli.chosen import mark_usual
from kotovec.cli.complete import among, charsets, columns, kinds, scripts, space, stores
from kotovec.cli.declare import OUTPUT, STORE, TOKENS, choice, option
from kotovec.text import parts


def _take_first(context: typer.Context, parameter: typer.CallbackParam, text: str) -> str:
    """Return the first space of a list in the environment, which other commands share; a list that is typed stays."""
    source = context.get_parameter_source(str(parameter.name))
    if source is None or source.name != "ENVIRONMENT":
        marked: str = mark_usual(context, parameter, text)
        return marked
    return "static" if text.strip() == "both" else parts(text)[0]


PatternArgument = Annotated[
    str,
    typer.Argument(
        metavar="PATTERN",
        help="Text that the tokens contain, as they are or as a table shows them.",
        show_default=False,
    ),
]
RegexOption = Annotated[bool, option(TOKENS, "--regex", help="Read PATTERN as a regular expression.")]
KindOption = Annotated[
    str | None,
    option(
        TOKENS,
        "--kind",
        metavar="KIND,…",
        help="Kinds of tokens, of `word,subword,special,unused,byte,empty` [all].",
        complete=kinds,
        show_default=False,
    ),
]
TokenScriptOption = Annotated[
    str | None,
    option(
        TOKENS,
        "--script",
        metavar="SCRIPT,…",
        help="Tokens whose letters are all of these scripts, such as `Han,Hiragana` [all].",
        complete=scripts,
        show_default=False,
    ),
]
LengthOption = Annotated[
    str | None,
    option(
        TOKENS,
        "--length",
        metavar="N|N-N",
        help="Number of characters, without `▁` or `##`: `3`, `2-4` or `5-` [any].",
        show_default=False,
    ),
]
SortOption = Annotated[
    str,
    option(
        TOKENS,
        "--sort",
        metavar="COLUMN",
        help="Order of the list, ascending: `id`, `text`, `norm`, `centroid` or `neighbours`.",
        complete=among("id", "text", "norm", "centroid", "neighbours"),
    ),
]
DescendingOption = Annotated[bool, option(TOKENS, "--descending", help="Order of the list, the other way round.")]
LimitOption = Annotated[
    int | None,
    option(
        TOKENS,
        "-n",
        "--limit",
        metavar="N",
        help="Number of tokens to show [50 in a table, else all].",
        show_default=False,
    ),
]
ColumnsOption = Annotated[
    str | None,
    option(
        OUTPUT,
        "--columns",
        metavar="NAME,…",
        help="Columns to show, of `id,token,text,notation,kind,script,length,norm,centroid,neighbours,reach,pieces`.",
        complete=columns,
        show_default=False,
    ),
]
OneSpaceOption = Annotated[
    str,
    option(
        STORE,
        "--space",
        metavar="SPACE",
        help="Space of the vectors: `static`, `isolated` or `isolated@6`.",
        complete=space,
        callback=_take_first,
    ),
]
ParquetOption = Annotated[
    Path | None,
    option(
        OUTPUT, "--parquet", metavar="FILE", help="Write a row per token into this Parquet file.", show_default=False
    ),
]
ShownOption = Annotated[
    int, option(TOKENS, "-n", "--limit", metavar="N", help="Number of tokens that each list of the report shows.")
]
IndicatorOption = Annotated[
    str,
    choice(
        TOKENS,
        "--indicator",
        "auto|norm|cosine|component",
        help="Indicator of under-trained tokens: norm, cosine with the reference rows, or that without the first"
        " component.",
    ),
]
ReferenceOption = Annotated[
    str | None,
    option(
        TOKENS,
        "--reference",
        metavar="ID,…",
        help="Ids of tokens, or of rows without one, known to be untrained, in place of those found by their texts.",
        show_default=False,
    ),
]
ReportOption = Annotated[
    Path | None,
    option(OUTPUT, "--html", metavar="FILE", help="Write the report as a page, into this file.", show_default=False),
]
StoresArgument = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="STORE…",
        help="Stores [the only *.kotovec here].",
        autocompletion=stores,
        show_default=False,
        readable=False,
    ),
]
CharsetOption = Annotated[
    str | None,
    option(
        TOKENS,
        "--charset",
        metavar="joyo|jinmei|jis1|jis2|FILE,…",
        help="Characters to look for: lists of kanji, such as `joyo,jinmei`, or all that a file of text has.",
        complete=charsets,
        show_default=False,
    ),
]
TextOption = Annotated[
    str | None,
    option(
        TOKENS,
        "--text",
        metavar="FILE",
        help="File of text to count the tokens of, in UTF-8 (`-` is stdin).",
        show_default=False,
    ),
]
ListedOption = Annotated[
    str | None,
    option(
        OUTPUT,
        "--print",
        metavar="one|several|changed|unknown",
        help="Print the characters of this kind, too.",
        complete=among("one", "several", "changed", "unknown"),
        show_default=False,
    ),
]
