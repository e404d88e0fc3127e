"""`kotovec hubs`: the tokens that are among the nearest of far more tokens than others are."""

from kotovec.cli.chosen import open_store
from kotovec.cli.encodings import echo
from kotovec.cli.geometry_options import MostOption, NearestOption
from kotovec.cli.list_options import OneSpaceOption, ParquetOption
from kotovec.cli.options import JsonOption, LayerOption, MetricOption, QuietOption, StoreOption
from kotovec.cli.outputs import check_output
from kotovec.cli.rows import near_rows
from kotovec.cli.tokens import one_space
from kotovec.errors import InputError
from kotovec.text import counted, json_line


def command(
    store: StoreOption = None,
    space: OneSpaceOption = "static",
    layer: LayerOption = None,
    metric: MetricOption = "cosine",
    nearest: NearestOption = 10,
    limit: MostOption = 20,
    parquet: ParquetOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """List the tokens that are most often among the nearest of others.

    Example: `kotovec hubs --space isolated -n 30`
    """
    from kotovec.cli.progress import Display
    from kotovec.cli.tables import notice, print_table, shown
    from kotovec.store.columns import Columns, import_parquet
    from kotovec.store.geometry.listed import list_hubs

    if limit < 1:
        raise InputError(f"--limit is {limit}", hint="use 1 or more")
    if parquet is not None:
        import_parquet()
        check_output(parquet, ".parquet")
    opened = open_store(store)
    chosen = one_space(opened, space, layer)
    with Display(quiet=quiet) as display:
        table = list_hubs(opened, chosen, near_rows(opened, chosen, nearest, display, metric))
    if parquet is not None:
        table.write_parquet(parquet)
        notice(f"{counted(len(table), 'token')} written to {parquet}", quiet=quiet)
        return
    part = Columns({name: column[:limit] for name, column in table.values.items()})
    if as_json:
        for row in part.rows():
            echo(json_line(row))
        return
    rows = (
        [str(row["id"]), shown(row["token"]), row["kind"], f"{row['occurrences']:,}", f"{row['norm']:.4f}"]
        for row in part.rows()
    )
    print_table(["id", "token", "kind", "occurrences", "norm"], rows, numbers=["id", "occurrences", "norm"])
