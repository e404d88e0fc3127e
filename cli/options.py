"""The options of all commands."""

from pathlib import Path
from typing import Annotated

import typer

from kotovec.cli.chosen import AmbientLayer, is_ambient, mark_usual
from kotovec.cli.complete import among, layers, scripts, space, spaces, stores, terms, topics
from kotovec.cli.declare import DRAWN, INDEX, MAP, OUTPUT, SEARCH, STORE, choice, option


def _mark_ambient(context: typer.Context, parameter: typer.CallbackParam, layer: int | None) -> int | None:
    return AmbientLayer(layer) if layer is not None and is_ambient(context, str(parameter.name)) else layer


# Options that most commands share.
StoreOption = Annotated[
    Path | None,
    option(
        STORE,
        "--store",
        metavar="FOLDER",
        help="Folder of the store [the only *.kotovec here].",
        complete=stores,
        show_default=False,
    ),
]
SpaceOption = Annotated[
    str,
    option(
        STORE,
        "--space",
        metavar="SPACE,…",
        help="List of spaces of the store, such as `static`, `isolated@6` or `context`; `both` is the first two kinds.",
        complete=spaces,
        callback=mark_usual,
    ),
]
WithinOption = Annotated[
    str | None,
    option(
        STORE,
        "--in",
        metavar="SPACE",
        help="Look the vectors of --space up in this space of the same width, such as `output`.",
        complete=space,
        show_default=False,
    ),
]
LayerOption = Annotated[
    int | None,
    option(
        STORE,
        "--layer",
        metavar="N",
        help="Layer of the spaces that have layers; -1 is the last one stored [-1].",
        complete=layers,
        callback=_mark_ambient,
        show_default=False,
    ),
]
MetricOption = Annotated[
    str,
    choice(SEARCH, "--metric", "l2|cosine|ip|csls", help="Metric: squared L2 distance, cosine, inner product, CSLS."),
]
IndexMetricOption = Annotated[
    str, choice(SEARCH, "--metric", "l2|cosine|ip", help="Metric: squared L2 distance, cosine, or inner product.")
]
DeviceOption = Annotated[str, choice(SEARCH, "--device", "auto|cpu|cuda", help="Device to run on.")]
JsonOption = Annotated[bool, option(OUTPUT, "--json", help="Print JSON.")]
QuietOption = Annotated[
    bool, option(OUTPUT, "--quiet", "-q", help="Print results and errors only; notes on an answer go to stderr.")
]
ErrorsOnlyOption = Annotated[bool, option(OUTPUT, "--quiet", "-q", help="Print errors only, but JSON all the same.")]
CountOption = Annotated[int, option(SEARCH, "-k", metavar="N", help="Number of tokens to show.", callback=mark_usual)]
SentencesOption = Annotated[
    int | None, option(SEARCH, "-k", metavar="N", help="Number of sentences to show [all].", show_default=False)
]
ExcludeOption = Annotated[
    bool,
    option(SEARCH, "--exclude-inputs", help="Leave out the tokens of the expression, with and without `▁` or `##`."),
]
UnitOption = Annotated[
    bool,
    option(SEARCH, "--unit-terms", help="Scale each term to length 1 first, as gensim does; with cosine or ip only."),
]
WordsOption = Annotated[bool, option(SEARCH, "--words-only", help="Leave out subwords, special and unused tokens.")]
ScriptOption = Annotated[
    str | None,
    option(
        SEARCH,
        "--script",
        metavar="SCRIPT,…",
        help="Leave out tokens with letters of other scripts than these, such as `Han,Hiragana,Katakana`.",
        complete=scripts,
        show_default=False,
    ),
]
RankOption = Annotated[
    str | None,
    option(
        SEARCH,
        "--rank",
        metavar="TOKEN,…",
        help="Show the exact rank of these tokens, too, among all tokens that may be answers.",
        complete=terms,
        show_default=False,
    ),
]
ExactOption = Annotated[bool, option(SEARCH, "--exact", help="Search every vector, and ignore approximate indexes.")]

# What is asked, and how it is answered.
ExpressionArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="EXPRESSION…",
        help="Expression such as king - man + woman. Quote it where it has *, #, quotes or parentheses.",
        autocompletion=terms,
        show_default=False,
    ),
]
WordsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="WORD…",
        help='Words, such as 王 子 女 男, or expressions, such as "王 - 男".',
        autocompletion=terms,
        show_default=False,
    ),
]
FileOption = Annotated[
    str | None,
    option(
        SEARCH,
        "--file",
        metavar="FILE",
        help="File with one expression per line (`-` is stdin); prints JSON lines, none for blank lines.",
        show_default=False,
    ),
]
VerifyOption = Annotated[
    bool, option(STORE, "--verify", help="Recompute every checksum first; exit 1 if one does not match.")
]
TsvOption = Annotated[bool, option(OUTPUT, "--tsv", help="Print tab-separated values.")]

# What `index` builds.
FactoryOption = Annotated[
    str,
    option(
        INDEX,
        "--factory",
        metavar="FACTORY",
        help="Index, as a string of faiss' index_factory, such as `IVF256,Flat`.",
        complete=among("Flat", "HNSW32", "IVF256,Flat", "SQ8"),
    ),
]
ParametersOption = Annotated[
    str, option(INDEX, "--parameters", metavar="NAME=N,…", help="Search parameters of faiss, such as `nprobe=16`.")
]

# What `map` draws.
MethodOption = Annotated[str, choice(MAP, "--method", "umap|tsne|pca", help="Method of reduction.")]
SampleOption = Annotated[
    int | None,
    option(
        MAP,
        "--sample",
        metavar="N",
        help="Number of tokens on the map, sampled with the seed [all].",
        show_default=False,
    ),
]
SeedOption = Annotated[int, option(MAP, "--seed", metavar="N", help="Random seed.")]
NeighborsOption = Annotated[
    int,
    option(MAP, "--neighbors", metavar="N", help="Neighbours per token that UMAP keeps together.", callback=mark_usual),
]
PerplexityOption = Annotated[
    float,
    option(
        MAP,
        "--perplexity",
        metavar="N",
        help="Perplexity of t-SNE: about the number of neighbours per token.",
        callback=mark_usual,
    ),
]
PngOption = Annotated[
    Path | None,
    option(DRAWN, "--png", metavar="FILE", help="Draw the map as a picture, into this file.", show_default=False),
]
LabelOption = Annotated[
    list[str] | None,
    option(
        DRAWN,
        "--label",
        metavar="WORDS",
        help="Words to label in the picture, such as `王 女`.",
        complete=terms,
        show_default=False,
    ),
]
LabelsOption = Annotated[
    int, option(DRAWN, "--labels", metavar="N", help="Number of frequent words to label in the picture where they fit.")
]
HtmlOption = Annotated[
    Path | None,
    option(
        DRAWN, "--html", metavar="FILE", help="Write a page to explore both spaces, into this file.", show_default=False
    ),
]
PathOption = Annotated[
    str | None,
    option(
        DRAWN,
        "--expression",
        metavar="EXPRESSION",
        help="Expression whose path is drawn on the page, such as `王 - 男 + 女`.",
        complete=terms,
        show_default=False,
    ),
]
AgainOption = Annotated[bool, option(MAP, "--again", help="Compute the map again, even if the store has it.")]

# What the commands about the command line take.
ShellArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="bash|zsh|fish", help="The shell.", autocompletion=among("bash", "zsh", "fish"), show_default=False
    ),
]
TopicArgument = Annotated[
    str | None,
    typer.Argument(metavar="COMMAND", help="A command, or `environment`.", autocompletion=topics, show_default=False),
]
