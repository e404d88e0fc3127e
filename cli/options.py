"""The options of all commands, each with its environment variable, and how spaces and a store are found."""

from pathlib import Path
from typing import Annotated

import typer

from kotovec.space import Space, parse_spaces


def _use_config(context: typer.Context, path: Path | None) -> Path | None:
    """Read the defaults of the options from a launch file; the environment overrides it, and flags override both.

    Raises:
        InputError: the file cannot be used; the message names it and the key.
    """
    if path is None:
        return None
    from kotovec.cluster.config import read_config
    from kotovec.errors import InputError, first_line

    parameters = {max(parameter.opts, key=len).lstrip("-"): parameter for parameter in context.command.params}
    for name in ("config", "help"):
        parameters.pop(name, None)
    context.default_map = {}
    for name, text in read_config(path, parameters).items():
        parameter = parameters[name]
        try:
            context.default_map[str(parameter.name)] = parameter.type_cast_value(context, text)
        except typer.BadParameter as error:
            raise InputError(f"--config {path}: {name}: {first_line(error).removesuffix('.')}") from error
    return path


class AmbientLayer(int):
    """A layer from the environment, which applies only to the spaces that have layers."""


def _mark_ambient(context: typer.Context, parameter: typer.CallbackParam, layer: int | None) -> int | None:
    source = context.get_parameter_source(str(parameter.name))
    ambient = layer is not None and source is not None and source.name == "ENVIRONMENT"
    return AmbientLayer(layer) if ambient else layer  # type: ignore[arg-type]


# Options that most commands share.
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        envvar="KOTOVEC_CONFIG",
        callback=_use_config,
        is_eager=True,
        help="Launch file with options under `metadata: kotovec:`; flags and environment override it.",
        show_default=False,
    ),
]
StoreOption = Annotated[
    Path | None,
    typer.Option(
        "--store",
        envvar="KOTOVEC_STORE",
        help="Folder of the store [the only *.kotovec here].",
        show_default=False,
    ),
]
SpaceOption = Annotated[
    str,
    typer.Option(
        envvar="KOTOVEC_SPACE",
        help="List of `static` (input embeddings), `isolated` or `isolated@6` (hidden states); or `both`.",
    ),
]
LayerOption = Annotated[
    int | None,
    typer.Option(
        envvar="KOTOVEC_LAYER",
        callback=_mark_ambient,
        help="Layer of the spaces that have layers; -1 is the last one stored [-1].",
        show_default=False,
    ),
]
MetricOption = Annotated[
    str,
    typer.Option(envvar="KOTOVEC_METRIC", help="Metric: `l2` (squared distance), `cosine` or `ip` (inner product)."),
]
DeviceOption = Annotated[str, typer.Option(envvar="KOTOVEC_DEVICE", help="Device to run on: `auto`, `cpu` or `cuda`.")]
JsonOption = Annotated[bool, typer.Option("--json", envvar="KOTOVEC_JSON", help="Print JSON.")]
QuietOption = Annotated[
    bool, typer.Option("--quiet", "-q", envvar="KOTOVEC_QUIET", help="Print results and errors only.")
]
CountOption = Annotated[int, typer.Option("-k", envvar="KOTOVEC_K", help="Number of tokens to show.")]
ExcludeOption = Annotated[
    bool,
    typer.Option(
        "--exclude-inputs",
        envvar="KOTOVEC_EXCLUDE_INPUTS",
        help="Leave out the tokens of the expression, with and without `▁` or `##`.",
    ),
]
UnitOption = Annotated[
    bool,
    typer.Option(
        "--unit-terms",
        envvar="KOTOVEC_UNIT_TERMS",
        help="Scale each term to length 1 first, as gensim does; with cosine or ip only.",
    ),
]
WordsOption = Annotated[
    bool,
    typer.Option("--words-only", envvar="KOTOVEC_WORDS_ONLY", help="Leave out subwords, special and unused tokens."),
]
ScriptOption = Annotated[
    str | None,
    typer.Option(
        "--script",
        envvar="KOTOVEC_SCRIPT",
        help="Leave out tokens with letters of other scripts than these, such as `Han,Hiragana,Katakana`.",
        show_default=False,
    ),
]
ExactOption = Annotated[
    bool,
    typer.Option("--exact", envvar="KOTOVEC_EXACT", help="Search every vector, and ignore approximate indexes."),
]

# What is built: the options of `build`, which `submit` passes on.
ModelArgument = Annotated[
    str,
    typer.Argument(envvar="KOTOVEC_MODEL", help="Hub id or folder of the model, or `demo` (a small English one)."),
]
TargetOption = Annotated[
    Path | None,
    typer.Option(
        "--store",
        envvar="KOTOVEC_STORE",
        help="Folder of the store [./LAST-PART-OF-MODEL.kotovec].",
        show_default=False,
    ),
]
LayersOption = Annotated[
    str,
    typer.Option(envvar="KOTOVEC_LAYERS", help="Layers of `isolated`: `last`, `all`, or a list such as `0,1,12`."),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        envvar="KOTOVEC_WORKERS", help="Number of Ray actors [one per core, as memory allows].", show_default=False
    ),
]
GpusOption = Annotated[
    float | None,
    typer.Option(envvar="KOTOVEC_GPUS_PER_WORKER", help="GPUs, or share of a GPU, per worker [1].", show_default=False),
]
CpusOption = Annotated[int, typer.Option(envvar="KOTOVEC_CPUS_PER_WORKER", help="Cores, and so threads, per worker.")]
EncoderDeviceOption = Annotated[
    str, typer.Option(envvar="KOTOVEC_DEVICE", help="Device that encodes: `auto`, `cpu` or `cuda`.")
]
DtypeOption = Annotated[
    str, typer.Option(envvar="KOTOVEC_DTYPE", help="Dtype of the computation: `float32`, `bfloat16` or `float16`.")
]
StoreDtypeOption = Annotated[
    str,
    typer.Option(envvar="KOTOVEC_STORE_DTYPE", help="Dtype of the stored isolated vectors: `float32` or `float16`."),
]
TokenFilterOption = Annotated[
    str | None,
    typer.Option(
        envvar="KOTOVEC_TOKEN_FILTER",
        help="Kinds of tokens to keep, of `word,subword,special,unused,byte,empty` [all].",
        show_default=False,
    ),
]
MecabOption = Annotated[
    str | None,
    typer.Option(
        envvar="KOTOVEC_MECAB_DIC",
        help="MeCab dictionary: `ipadic`, `unidic_lite` or `unidic` [the model's].",
        show_default=False,
    ),
]
RevisionOption = Annotated[
    str | None,
    typer.Option(envvar="KOTOVEC_REVISION", help="Branch, tag or commit on the Hub.", show_default=False),
]
AddressOption = Annotated[
    str | None,
    typer.Option(
        envvar=["KOTOVEC_ADDRESS", "RAY_ADDRESS"],
        help="Ray cluster to join [a private local one].",
        show_default=False,
    ),
]
ShardTokensOption = Annotated[
    int | None,
    typer.Option(envvar="KOTOVEC_SHARD_TOKENS", help="Tokens per shard, at most [1024; GPU: 16384]."),
]
StallOption = Annotated[
    float | None,
    typer.Option(
        envvar="KOTOVEC_STALL_SECONDS",
        help="Seconds without a result after which a worker is replaced [900].",
        show_default=False,
    ),
]
OverwriteOption = Annotated[
    bool,
    typer.Option("--overwrite", envvar="KOTOVEC_OVERWRITE", help="Build again beside the complete store, then swap."),
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", envvar="KOTOVEC_DRY_RUN", help="Print the plan and stop.")]

# Where it is built: the options of `submit` alone.
RemoteStoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        envvar="KOTOVEC_STORE",
        help="Folder of the store on the cluster, an absolute path.",
        show_default=False,
    ),
]
DashboardOption = Annotated[
    str | None,
    typer.Option(
        "--address",
        envvar=["KOTOVEC_ADDRESS", "RAY_API_SERVER_ADDRESS", "RAY_ADDRESS"],
        help="Dashboard of the cluster: `http://HOST:8265`.",
        show_default=False,
    ),
]
FetchOption = Annotated[
    Path | None,
    typer.Option(
        envvar="KOTOVEC_FETCH",
        help="Local folder for the complete store [./LAST-PART-OF-STORE].",
        show_default=False,
    ),
]
NoFetchOption = Annotated[
    bool, typer.Option("--no-fetch", envvar="KOTOVEC_NO_FETCH", help="Leave the store on the cluster.")
]
JobOption = Annotated[
    str | None, typer.Option(envvar="KOTOVEC_JOB", help="Name of the job [a random one].", show_default=False)
]
AttachOption = Annotated[
    str | None,
    typer.Option(envvar="KOTOVEC_ATTACH", help="Show this job again, and fetch its store.", show_default=False),
]
StopOption = Annotated[str | None, typer.Option(envvar="KOTOVEC_STOP", help="Stop this job.", show_default=False)]

# What is asked, and how it is answered.
ExpressionArgument = Annotated[
    str | None,
    typer.Argument(
        help='Expression such as "王 - 男 + 女"; weights, parentheses, quotes and #id work.', show_default=False
    ),
]
WordsArgument = Annotated[list[str] | None, typer.Argument(help="Words, such as 王 子 女 男.", show_default=False)]
FileOption = Annotated[
    str | None,
    typer.Option(
        envvar="KOTOVEC_FILE",
        help="File with one expression per line (`-` is stdin); prints JSON lines, none for blank lines.",
        show_default=False,
    ),
]
VerifyOption = Annotated[
    bool,
    typer.Option(
        "--verify", envvar="KOTOVEC_VERIFY", help="Recompute every checksum first; exit 1 if one does not match."
    ),
]
TsvOption = Annotated[bool, typer.Option("--tsv", envvar="KOTOVEC_TSV", help="Print tab-separated values.")]

# What `index` builds.
FactoryOption = Annotated[
    str,
    typer.Option(envvar="KOTOVEC_FACTORY", help="Index, as a string of faiss' index_factory, such as `IVF256,Flat`."),
]
ParametersOption = Annotated[
    str, typer.Option(envvar="KOTOVEC_PARAMETERS", help="Search parameters of faiss, such as `nprobe=16`.")
]

# What `map` draws.
MethodOption = Annotated[
    str, typer.Option(envvar="KOTOVEC_METHOD", help="Method of reduction: `umap`, `tsne` or `pca`.")
]
SampleOption = Annotated[
    int | None,
    typer.Option(
        envvar="KOTOVEC_SAMPLE", help="Number of tokens on the map, sampled with the seed [all].", show_default=False
    ),
]
SeedOption = Annotated[int, typer.Option(envvar="KOTOVEC_SEED", help="Random seed.")]
NeighborsOption = Annotated[
    int, typer.Option(envvar="KOTOVEC_NEIGHBORS", help="Neighbours per token that UMAP keeps together.")
]
PerplexityOption = Annotated[
    float,
    typer.Option(envvar="KOTOVEC_PERPLEXITY", help="Perplexity of t-SNE: about the number of neighbours per token."),
]
PngOption = Annotated[
    Path | None,
    typer.Option(envvar="KOTOVEC_PNG", help="Draw the map as a picture, into this file.", show_default=False),
]
LabelOption = Annotated[
    list[str] | None,
    typer.Option(envvar="KOTOVEC_LABEL", help="Words to label in the picture, such as `王 女`.", show_default=False),
]
LabelsOption = Annotated[
    int,
    typer.Option(envvar="KOTOVEC_LABELS", help="Number of frequent words to label in the picture where they fit."),
]
HtmlOption = Annotated[
    Path | None,
    typer.Option(
        envvar="KOTOVEC_HTML", help="Write a page to explore both spaces, into this file.", show_default=False
    ),
]
PathOption = Annotated[
    str | None,
    typer.Option(
        "--expression",
        envvar="KOTOVEC_EXPRESSION",
        help="Expression whose path is drawn on the page, such as `王 - 男 + 女`.",
        show_default=False,
    ),
]
AgainOption = Annotated[
    bool, typer.Option("--again", envvar="KOTOVEC_AGAIN", help="Compute the map again, even if the store has it.")
]


def read_spaces(text: str, layer: int | None) -> tuple[Space, ...]:
    """Return the spaces that `--space` and `--layer` ask for.

    Raises:
        InputError: a space is unknown.
        NotStoredError: `--layer` was given for a space without layers.
    """
    spaces = parse_spaces(text)
    layered = [space.at(layer) if space.layer == -1 else space for space in spaces]
    if layer is not None and layered == list(spaces) and layer != -1 and not isinstance(layer, AmbientLayer):
        layered = [space.at(layer) for space in spaces]
    return tuple(dict.fromkeys(layered))


def find_store(store: Path | None) -> Path:
    """Return the path of the store: the one named, or the only one in the working directory.

    Raises:
        StoreNotFoundError: the working directory has none, or several.
    """
    from kotovec.errors import StoreNotFoundError

    if store is not None:
        return store
    found = sorted(path for path in Path().glob("*.kotovec") if path.is_dir())
    if not found:
        raise StoreNotFoundError(
            "there is no *.kotovec here", hint="build one with `kotovec build`, or name one with --store"
        )
    if len(found) > 1:
        names = ", ".join(map(str, found))
        raise StoreNotFoundError(
            f"there are several stores here ({names})", hint="name one with --store or KOTOVEC_STORE"
        )
    return found[0]
