"""The options of the commands about geometry: `geometry`, `hubs` and `neighbours`."""

from pathlib import Path
from typing import Annotated

from kotovec.cli.chosen import mark_usual
from kotovec.cli.complete import among, spaces
from kotovec.cli.declare import GEOMETRY, OUTPUT, STORE, choice, option

AllSpacesOption = Annotated[
    str | None,
    option(
        STORE,
        "--space",
        metavar="SPACE,…",
        help="Spaces, such as `static,isolated@6` [all of the store].",
        complete=spaces,
        show_default=False,
    ),
]
ByOption = Annotated[
    str | None,
    choice(GEOMETRY, "--by", "kind|script", help="Measure the rows of each kind or script, too.", show_default=False),
]
NearestOption = Annotated[
    int,
    option(GEOMETRY, "-k", "--nearest", metavar="N", help="Number of nearest rows of each row.", callback=mark_usual),
]
NoHubsOption = Annotated[
    bool, option(GEOMETRY, "--no-hubs", help="Leave out hubs, which need the nearest rows of every row.")
]
MostOption = Annotated[int, option(GEOMETRY, "-n", "--limit", metavar="N", help="Number of tokens to show.")]
PairsOption = Annotated[
    Path | None,
    option(
        OUTPUT,
        "--parquet",
        metavar="FILE",
        help="Write a row per token and neighbour into this Parquet file.",
        show_default=False,
    ),
]
DoOption = Annotated[
    str | None,
    option(
        GEOMETRY,
        "--do",
        metavar="STEP",
        help="Step: `center`, `abtt:D`, `whiten`, `standardize`, `drop:138,378` or `unit`.",
        complete=among("center", "abtt:", "whiten", "standardize", "drop:", "unit"),
        show_default=False,
    ),
]
FitOption = Annotated[str, choice(GEOMETRY, "--fit", "all|words", help="Tokens that the step learns from.")]
RewriteOption = Annotated[bool, option(OUTPUT, "--overwrite", help="Write a derived space that is there again.")]
CurvesOption = Annotated[
    Path | None,
    option(
        OUTPUT,
        "--png",
        metavar="FILE",
        help="Draw the measures over the layers as a picture, into this file.",
        show_default=False,
    ),
]
