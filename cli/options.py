"""Options that several commands share, each with its environment variable, and how a store is found."""

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


class AmbientLayer(int):
    """A layer from the environment, which applies only to the spaces that have layers."""


def _mark_ambient(context: typer.Context, parameter: typer.CallbackParam, layer: int | None) -> int | None:
    source = context.get_parameter_source(str(parameter.name))
    ambient = layer is not None and source is not None and source.name == "ENVIRONMENT"
    return AmbientLayer(layer) if ambient else layer  # type: ignore[arg-type]


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
    typer.Option("--exclude-inputs", envvar="KOTOVEC_EXCLUDE_INPUTS", help="Leave out the tokens of the expression."),
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
ExactOption = Annotated[
    bool,
    typer.Option("--exact", envvar="KOTOVEC_EXACT", help="Search every vector, and ignore approximate indexes."),
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
            "there is no *.kotovec here", hint="build one with kotovec build, or name one with --store"
        )
    if len(found) > 1:
        names = ", ".join(map(str, found))
        raise StoreNotFoundError(
            f"there are several stores here ({names})", hint="name one with --store or KOTOVEC_STORE"
        )
    return found[0]
