"""`kotovec map`: the whole vocabulary in two dimensions, and how far that can be trusted."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from kotovec.cli.options import JsonOption, LayerOption, QuietOption, SpaceOption, StoreOption, find_store


def command(
    store: StoreOption = None,
    space: SpaceOption = "static",
    layer: LayerOption = -1,
    method: Annotated[str, typer.Option(envvar="KOTOVEC_METHOD", help="`umap`, `tsne` or `pca`.")] = "umap",
    sample: Annotated[
        int | None,
        typer.Option(envvar="KOTOVEC_SAMPLE", help="Only so many tokens, chosen by the seed.", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(envvar="KOTOVEC_SEED", help="Of the random numbers.")] = 0,
    neighbors: Annotated[
        int, typer.Option(envvar="KOTOVEC_NEIGHBORS", help="Of umap: how many tokens around each to keep together.")
    ] = 15,
    perplexity: Annotated[float, typer.Option(envvar="KOTOVEC_PERPLEXITY", help="Of tsne: the same, about.")] = 30.0,
    png: Annotated[
        Path | None, typer.Option(envvar="KOTOVEC_PNG", help="Draw the map into this file.", show_default=False)
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(envvar="KOTOVEC_LABEL", help="Of the picture: a word to name, such as 王.", show_default=False),
    ] = None,
    labels: Annotated[
        int,
        typer.Option(
            envvar="KOTOVEC_LABELS", help="Of the picture: how many frequent words to name where there is room."
        ),
    ] = 300,
    again: Annotated[bool, typer.Option("--again", help="Make the map anew, even if the store has it.")] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Lay the vocabulary out in two dimensions, keep the map in the store, and say what it keeps of the space.

    Example: `kotovec map --space isolated --png map.png --label 王 --label 女`
    """
    from kotovec.cli.progress import Display
    from kotovec.cli.tables import print_pairs
    from kotovec.store import Store
    from kotovec.store.cartography import MapRequest, find_map, make_map
    from kotovec.store.expression import Term

    opened = Store.open(find_store(store))
    request = MapRequest(space, layer, method, sample, seed, neighbors, perplexity)
    asked = [row for text in label or () for row in opened.lookup.resolve(Term(text.strip(), 1.0, 0)).rows]
    with Display(quiet=quiet) as display:
        made = None if again else find_map(opened, request)
        made = made or make_map(opened, request, display.say)
        record = made.record
        if png is not None:
            from kotovec.cli.picture import draw

            display.say("drawing")
            quality = f"recall@10 {record.recall:.2f}, trustworthiness {record.trustworthiness:.2f}"
            title = f"{opened.vectors.attributes.get('model', opened.path.name)}, {record.name}: {quality}"
            draw(made, opened.tokens, asked, labels, title, png)
    if as_json:
        typer.echo(json.dumps({**asdict(record), "name": record.name, "tokens": len(made.rows)}, ensure_ascii=False))
    elif not quiet:
        parameters = ", ".join(f"{name} {value}" for name, value in record.parameters.items())
        print_pairs(
            [
                ("map", f"{record.name}  ({len(made.rows):,} tokens; {parameters}, seed {record.seed})"),
                ("recall@10", f"{record.recall:.4f} of the ten nearest tokens are the ten nearest on the map"),
                (
                    "trust",
                    f"{record.trustworthiness:.4f} trustworthiness, of {record.sampled:,} tokens (0.5 is chance)",
                ),
            ]
        )
