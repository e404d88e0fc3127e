"""The options of `kotovec evaluate`."""

from pathlib import Path
from typing import Annotated

import typer

from kotovec.cli.chosen import mark_ambient
from kotovec.cli.complete import among, measures, stores
from kotovec.cli.declare import EVALUATE, OUTPUT, STORE, choice, option

TaskArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="pairs|analogies",
        help="What to evaluate.",
        autocompletion=among("pairs", "analogies"),
        show_default=False,
    ),
]
FilesArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="FILE…",
        help="Data sets: files, folders or, from packages, `simlex999`, `wordsim353`, `men`, `rarewords`; `google`.",
        autocompletion=among("simlex999", "wordsim353", "men", "rarewords", "google"),
        show_default=False,
    ),
]
SeveralStoresOption = Annotated[
    list[Path] | None,
    option(
        STORE,
        "--store",
        metavar="FOLDER",
        help="Folder of a store [the only *.kotovec here]; give it again for another store.",
        complete=stores,
        show_default=False,
    ),
]
StoredLayersOption = Annotated[
    str,
    option(
        STORE,
        "--layers",
        metavar="last|all|N,…",
        help="Layers of the spaces that are named without one: the last that is stored, all, or a list.",
        callback=mark_ambient,
        complete=among("last", "all"),
    ),
]
DataColumnsOption = Annotated[
    str | None,
    option(
        EVALUATE,
        "--columns",
        metavar="NAME,…",
        help="Columns of a file of pairs: two words and the score, by name or number, as `word1,word2,score`.",
        show_default=False,
    ),
]
MeasureOption = Annotated[
    str,
    option(
        EVALUATE,
        "--measure",
        metavar="MEASURE,…",
        help="How analogies are answered: `3cosadd`, `l2`, `3cosmul`, `pairdirection`, `3cosavg`, `lrcos`, or all;"
        " `only-b` is always beside them.",
        complete=measures,
    ),
]
CategoriesOption = Annotated[
    bool, option(EVALUATE, "--categories", help="Show each category of analogies in a table of its own.")
]
MultiOption = Annotated[
    str,
    choice(EVALUATE, "--multi", "skip|mean", help="Leave out words of several tokens, or take the mean of these."),
]
LowerOption = Annotated[bool, option(EVALUATE, "--lower", help="Look words up in lower case.")]
CommonOption = Annotated[bool, option(EVALUATE, "--common", help="Ask all stores what all of them can be asked.")]
DrawSeedOption = Annotated[int, option(EVALUATE, "--seed", metavar="N", help="Random seed of the intervals.")]
DetailsOption = Annotated[
    Path | None,
    option(
        OUTPUT,
        "--details",
        metavar="FILE",
        help="Write every item with its words and numbers into this file: JSON lines (.jsonl) or Parquet (.parquet).",
        show_default=False,
    ),
]
