"""The options of builds, here and on a cluster from outside."""

from pathlib import Path
from typing import Annotated

import typer

from kotovec.cli.complete import among, kinds, models, stores
from kotovec.cli.declare import CLUSTER, CONTEXTS, JOBS, MODEL, OUTPUT, WORKERS, choice, option


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
    repeated = [name for name, parameter in parameters.items() if getattr(parameter, "multiple", False)]
    for name, text in read_config(path, parameters, repeated).items():
        parameter = parameters[name]
        try:
            context.default_map[str(parameter.name)] = parameter.type_cast_value(context, text)
        except typer.BadParameter as error:
            wrong = wrong_value(str(error.message))
            problem = wrong_kind(name, *wrong) if wrong else f"{name}: {first_line(error).removesuffix('.')}"
            raise InputError(f"--config {path}: {problem}", hint=f"see {quoted('kotovec build --help')}") from error
    return path


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
        help="Layers of the hidden states: the last, all, or a list such as `0,1,12`.",
        complete=among("last", "all"),
    ),
]
SpacesOption = Annotated[
    str,
    option(
        MODEL,
        "--spaces",
        metavar="SPACE,…",
        help="List of `static`, `output` (its output matrix), `isolated`, `template`, `context`; tables are only read.",
        complete=among("static,output", "static,isolated", "static", "output"),
    ),
]
SentenceOption = Annotated[
    str | None,
    option(
        MODEL,
        "--template",
        metavar="SENTENCE",
        help="Sentence around each token, with {} in its place: makes the space `template`, not `isolated`.",
        show_default=False,
    ),
]
CorpusOption = Annotated[
    list[str] | None,
    option(
        CONTEXTS,
        "--corpus",
        metavar="PATH",
        help="File, folder, pattern in quotes, or URL of texts: makes the space `context`, too. May be repeated.",
        show_default=False,
    ),
]
FieldOption = Annotated[
    str | None,
    option(
        CONTEXTS,
        "--corpus-field",
        metavar="NAME",
        help="Field of JSON lines, or column of Parquet, that holds the text [text].",
        show_default=False,
    ),
]
ContextsOption = Annotated[
    int | None,
    option(CONTEXTS, "--contexts", metavar="N", help="Sentences per token or word, at most [30].", show_default=False),
]
SplitOption = Annotated[
    str | None,
    option(
        CONTEXTS,
        "--split",
        metavar="sentence|line|N",
        help="What a sentence is: a sentence of a text, a line, or N characters [sentence].",
        complete=among("sentence", "line", "200"),
        show_default=False,
    ),
]
MinCharsOption = Annotated[
    int | None,
    option(CONTEXTS, "--min-chars", metavar="N", help="Fewest characters of a sentence [8].", show_default=False),
]
MaxCharsOption = Annotated[
    int | None,
    option(CONTEXTS, "--max-chars", metavar="N", help="Most characters of a sentence [512].", show_default=False),
]
FractionOption = Annotated[
    float | None,
    option(
        CONTEXTS,
        "--fraction",
        metavar="PART",
        help="Part of all sentences that is looked at, such as 0.1: drawn by their hashes [1].",
        show_default=False,
    ),
]
SeedOption = Annotated[
    int | None,
    option(CONTEXTS, "--seed", metavar="N", help="Another seed draws other sentences [0].", show_default=False),
]
KeepTextOption = Annotated[
    bool, option(CONTEXTS, "--keep-text", help="Keep the sentences in the store, for `kotovec contexts`.")
]
ContextsFromOption = Annotated[
    Path | None,
    option(
        CONTEXTS,
        "--contexts-from",
        metavar="FOLDER",
        help="Take the sentences of another store, in place of a corpus.",
        complete=stores,
        show_default=False,
    ),
]
PrototypesOption = Annotated[
    int | None,
    option(
        CONTEXTS,
        "--prototypes",
        metavar="K",
        help="Also up to K vectors per token, 1 to 5: centres of those in its sentences, as the space `prototypes`.",
        show_default=False,
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
