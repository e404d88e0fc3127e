"""`kotovec neighbours`: the nearest tokens of every token, computed once and kept in the store."""

from kotovec.cli.chosen import choose_spaces, open_store
from kotovec.cli.encodings import echo
from kotovec.cli.geometry_options import NearestOption, PairsOption
from kotovec.cli.options import JsonOption, LayerOption, MetricOption, QuietOption, SpaceOption, StoreOption
from kotovec.cli.outputs import check_output
from kotovec.cli.rows import near_rows
from kotovec.errors import InputError
from kotovec.text import counted, json_line


def command(
    store: StoreOption = None,
    space: SpaceOption = "static",
    layer: LayerOption = None,
    metric: MetricOption = "cosine",
    nearest: NearestOption = 10,
    parquet: PairsOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Find the nearest tokens of every token, exactly, and keep them in the store.

    Example: `kotovec neighbours --space isolated -k 20`
    """
    from kotovec.cli.progress import Display
    from kotovec.cli.tables import notice, print_pairs
    from kotovec.store.columns import import_parquet
    from kotovec.store.geometry.listed import list_neighbours

    if parquet is not None:
        import_parquet()
        check_output(parquet, ".parquet")
    opened = open_store(store)
    spaces = choose_spaces(space, layer, opened.spaces)
    if parquet is not None and len(spaces) > 1:
        raise InputError(f"--parquet takes one space, and {len(spaces)} are named", hint="name one with --space")
    for each in spaces:
        with Display(quiet=quiet) as display:
            found = near_rows(opened, each, nearest, display, metric)
        pairs = int((found.rows >= 0).sum())
        if parquet is not None:
            list_neighbours(opened, found).write_parquet(parquet)
            notice(f"{counted(pairs, 'pair')} written to {parquet}", quiet=quiet)
        elif as_json:
            echo(json_line({"space": str(each), "metric": metric, "k": found.rows.shape[1], "pairs": pairs}))
        else:
            rows = counted(len(opened), opened.tokens.noun)
            print_pairs([("neighbours", f"{each.title}; {metric}  ({found.rows.shape[1]} of {rows} each)")])
