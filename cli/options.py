"""The options of all commands."""

from pathlib import Path
from typing import Annotated

import typer

from kotovec.cli.chosen import AmbientLayer, is_ambient
from kotovec.cli.complete import among, kinds, layers, models, scripts, spaces, stores, terms, topics
from kotovec.cli.declare import CLUSTER, DRAWN, INDEX, JOBS, MAP, MODEL, OUTPUT, SEARCH, STORE, WORKERS, choice, option


def _use_config(context: typer.Context, path: Path | None) -> Path | None:
    """Read the defaults of the options from a launch file; the environment overrides it, and flags override both.

    Raises:
        InputError: the file cannot be used; the message names it and the key.
    """
    if path is None:
        return None
    from kotovec.cli.usage import wrong_kind, wrong_value
    from kotovec.cluster.config import read_config
    from kotovec.errors import InputError, first_line, quoted

    parameters = {max(parameter.opts, key=len).lstrip("-"): parameter for parameter in context.command.params}
    for name in ("config", "help"):
        parameters.pop(name, None)
    context.default_map = {}
    for name, text in read_config(path, parameters).items():
        parameter = parameters[name]
        try:
            context.default_map[str(parameter.name)] = parameter.type_cast_value(context, text)
        except typer.BadParameter as error:
            wrong = wrong_value(str(error.message))
            problem = wrong_kind(name, *wrong) if wrong else f"{name}: {first_line(error).removesuffix('.')}"
            raise InputError(f"--config {path}: {problem}", hint=f"see {quoted('kotovec build --help')}") from error
    return path


def _mark_ambient(context: typer.Context, parameter: typer.CallbackParam, layer: int | None) -> int | None:
    return AmbientLayer(layer) if layer is not None and is_ambient(context, str(parameter.name)) else layer


# Options that most commands share.
ConfigOption = Annotated[
    Path | None,
    option(
        CLUSTER,
        "--config",
        metavar="FILE",
        help="Launch file with options under `metadata: kotovec:`; flags and environment override it.",
        callback=_use_config,
        is_eager=True,
        show_default=False,
    ),
]
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
        help="List of `static` (input embeddings), `isolated` or `isolated@6` (hidden states); or `both`.",
        complete=spaces,
    ),
]
WithinOption = Annotated[
    str | None,
    option(
        STORE,
        "--in",
        metavar="SPACE",
        help="Look the vectors of --space up in this space of the same width, such as `output`.",
        complete=spaces,
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
    str, choice(SEARCH, "--metric", "l2|cosine|ip", help="Metric: squared L2 distance, cosine, or inner product.")
]
DeviceOption = Annotated[str, choice(SEARCH, "--device", "auto|cpu|cuda", help="Device to run on.")]
JsonOption = Annotated[bool, option(OUTPUT, "--json", help="Print JSON.")]
QuietOption = Annotated[
    bool, option(OUTPUT, "--quiet", "-q", help="Print results and errors only; notes on an answer go to stderr.")
]
CountOption = Annotated[int, option(SEARCH, "-k", metavar="N", help="Number of tokens to show.")]
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
ExactOption = Annotated[bool, option(SEARCH, "--exact", help="Search every vector, and ignore approximate indexes.")]

# What is built: the options of `build`, which `submit` passes on.
ModelArgument = Annotated[
    str,
    typer.Argument(
        envvar="KOTOVEC_MODEL",
        metavar="MODEL",
        help="Hub id or folder of the model, or `demo` (a small English one).",
        autocompletion=models,
    ),
]
TargetOption = Annotated[
    Path | None,
    option(
        OUTPUT,
        "--store",
        metavar="FOLDER",
        help="Folder of the store [./LAST-PART-OF-MODEL.kotovec].",
        complete=stores,
        show_default=False,
    ),
]
LayersOption = Annotated[
    str,
    option(
        MODEL,
        "--layers",
        metavar="last|all|N,…",
        help="Layers of `isolated`: the last, all, or a list such as `0,1,12`.",
        complete=among("last", "all"),
    ),
]
SpacesOption = Annotated[
    str,
    option(
        MODEL,
        "--spaces",
        metavar="SPACE,…",
        help="List of `static`, `output` (its output matrix) and `isolated`; tables alone need no forward pass.",
        complete=among("static,output", "static,isolated", "static", "output"),
    ),
]
NoBosOption = Annotated[
    bool, option(MODEL, "--no-bos", help="Put no token before those of a decoder whose template has none there.")
]
WorkersOption = Annotated[
    int | None,
    option(
        WORKERS,
        "--workers",
        metavar="N",
        help="Number of Ray actors; 0: in this process, without Ray [one per core, as memory allows].",
        show_default=False,
    ),
]
GpusOption = Annotated[
    float | None,
    option(
        WORKERS, "--gpus-per-worker", metavar="N", help="GPUs, or share of a GPU, per worker [1].", show_default=False
    ),
]
CpusOption = Annotated[
    int, option(WORKERS, "--cpus-per-worker", metavar="N", help="Cores, and so threads, per worker.")
]
EncoderDeviceOption = Annotated[str, choice(WORKERS, "--device", "auto|cpu|cuda", help="Device that encodes.")]
DtypeOption = Annotated[str, choice(MODEL, "--dtype", "float32|bfloat16|float16", help="Dtype of the computation.")]
StoreDtypeOption = Annotated[
    str, choice(MODEL, "--store-dtype", "float32|float16", help="Dtype of the stored isolated vectors.")
]
TokenFilterOption = Annotated[
    str | None,
    option(
        MODEL,
        "--token-filter",
        metavar="KIND,…",
        help="Kinds of tokens to keep, of `word,subword,special,unused,byte,empty` [all].",
        complete=kinds,
        show_default=False,
    ),
]
WordlistOption = Annotated[
    Path | None,
    option(
        MODEL,
        "--words",
        metavar="FILE",
        help="Encode the words of a file, one per line up to a tab, in place of the vocabulary.",
        show_default=False,
    ),
]
ColumnOption = Annotated[
    str | None,
    option(
        MODEL,
        "--words-column",
        metavar="NAME",
        help="Column of the file of words (tab-separated with a header), or key of its JSON lines (`.jsonl`).",
        show_default=False,
    ),
]
PoolingOption = Annotated[
    str | None,
    choice(
        MODEL,
        "--pooling",
        "mean|first|last",
        help="Vector of a word: the mean of its tokens' vectors, or that of the first or last token [mean].",
        show_default=False,
    ),
]
MecabOption = Annotated[
    str | None,
    choice(
        MODEL,
        "--mecab-dic",
        "ipadic|unidic_lite|unidic",
        help="MeCab dictionary [the model's].",
        show_default=False,
    ),
]
RevisionOption = Annotated[
    str | None,
    option(MODEL, "--revision", metavar="NAME", help="Branch, tag or commit on the Hub.", show_default=False),
]
AddressOption = Annotated[
    str | None,
    option(
        CLUSTER,
        "--address",
        metavar="ADDRESS",
        help="Ray cluster to join, such as `auto` [a private local one].",
        more=["RAY_ADDRESS"],
        show_default=False,
    ),
]
ShardTokensOption = Annotated[
    int | None,
    option(
        WORKERS, "--shard-tokens", metavar="N", help="Tokens per shard, at most [1024, GPU 16384].", show_default=False
    ),
]
StallOption = Annotated[
    float | None,
    option(
        WORKERS,
        "--stall-seconds",
        metavar="SECONDS",
        help="Seconds without a result after which a worker is replaced [900].",
        show_default=False,
    ),
]
OverwriteOption = Annotated[
    bool, option(OUTPUT, "--overwrite", help="Build again beside the complete store, then swap.")
]
DryRunOption = Annotated[bool, option(OUTPUT, "--dry-run", help="Print the plan and stop.")]

# Where it is built: the options of `submit` alone.
RemoteStoreOption = Annotated[
    str | None,
    option(
        OUTPUT,
        "--store",
        metavar="FOLDER",
        help="Folder of the store on the cluster, an absolute path.",
        show_default=False,
    ),
]
DashboardOption = Annotated[
    str | None,
    option(
        CLUSTER,
        "--address",
        metavar="URL",
        help="Dashboard of the cluster: `http://HOST:8265`.",
        more=["RAY_API_SERVER_ADDRESS", "RAY_ADDRESS"],
        show_default=False,
    ),
]
FetchOption = Annotated[
    Path | None,
    option(
        OUTPUT,
        "--fetch",
        metavar="FOLDER",
        help="Local folder for the complete store [./LAST-PART-OF-STORE].",
        show_default=False,
    ),
]
NoFetchOption = Annotated[bool, option(OUTPUT, "--no-fetch", help="Leave the store on the cluster.")]
JobOption = Annotated[
    str | None,
    option(JOBS, "--job", metavar="NAME", help="Name of the job [a random one].", show_default=False),
]
AttachOption = Annotated[
    str | None,
    option(JOBS, "--attach", metavar="NAME", help="Show this job again, and fetch its store.", show_default=False),
]
StopOption = Annotated[str | None, option(JOBS, "--stop", metavar="NAME", help="Stop this job.", show_default=False)]
ListOption = Annotated[bool, option(JOBS, "--list", help="List the jobs that were submitted, and stop.")]

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
    int, option(MAP, "--neighbors", metavar="N", help="Neighbours per token that UMAP keeps together.")
]
PerplexityOption = Annotated[
    float,
    option(MAP, "--perplexity", metavar="N", help="Perplexity of t-SNE: about the number of neighbours per token."),
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
