"""The options of `kotovec report`."""

from pathlib import Path
from typing import Annotated

from kotovec.cli.complete import terms
from kotovec.cli.declare import EVALUATE, OUTPUT, SEARCH, choice, option

OutOption = Annotated[
    Path | None,
    option(
        OUTPUT,
        "--out",
        metavar="FILE",
        help="The report: a page (.html), Markdown (.md) or data (.json), by its ending.",
        show_default=False,
    ),
]
LanguageOption = Annotated[str, choice(OUTPUT, "--language", "en|ja", help="Language of the report.")]
AskedOption = Annotated[
    str | None,
    option(
        SEARCH,
        "--expression",
        metavar="EXPRESSION",
        help="Expression [王 - 男 + 女 or king - man + woman, whichever the vocabulary has].",
        complete=terms,
        show_default=False,
    ),
]
TargetOption = Annotated[
    str | None,
    option(
        SEARCH,
        "--target",
        metavar="TOKEN",
        help="Word that the expression should lead to, whose rank is shown [女王 or queen].",
        complete=terms,
        show_default=False,
    ),
]
PairsOption = Annotated[
    str | None,
    option(EVALUATE, "--pairs", metavar="FILE", help="Word pairs: a file, or `simlex999`.", show_default=False),
]
AnalogiesOption = Annotated[
    str | None,
    option(EVALUATE, "--analogies", metavar="FILE", help="Analogies: a file, or `google`.", show_default=False),
]
