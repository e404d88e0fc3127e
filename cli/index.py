"""`kotovec index`: build an index again, or for another space, layer, metric or factory."""

from dataclasses import asdict
from typing import TYPE_CHECKING

from kotovec.cli.chosen import choose_spaces, open_store
from kotovec.cli.encodings import echo
from kotovec.cli.options import (
    DeviceOption,
    FactoryOption,
    IndexMetricOption,
    JsonOption,
    LayerOption,
    ParametersOption,
    QuietOption,
    SpaceOption,
    StoreOption,
)
from kotovec.cli.silence import without_clustering
from kotovec.space import Space
from kotovec.text import counted, json_line

if TYPE_CHECKING:
    from kotovec.store.index_record import IndexRecord
    from kotovec.store.measure import Measured


def command(
    store: StoreOption = None,
    space: SpaceOption = "static",
    layer: LayerOption = None,
    metric: IndexMetricOption = "l2",
    factory: FactoryOption = "Flat",
    parameters: ParametersOption = "",
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
    quiet: QuietOption = False,  # noqa: ARG001 — the measures are results; `silence` has heard it
) -> None:
    """Build an index; unless it is Flat, measure its recall@10 and speed against Flat.

    Example: `kotovec index --space isolated --metric cosine --factory HNSW32`
    """
    from kotovec.store.measure import build_index
    from kotovec.store.prototypes import check_single

    opened = open_store(store)
    spaces = choose_spaces(space, layer, opened.spaces)
    for each in spaces:
        check_single(each, "an index")
    for each in spaces:
        with without_clustering():
            built = build_index(opened, each, metric, factory=factory, parameters=parameters, device=device)
        _print(*built, as_json=as_json)


def _print(record: "IndexRecord", measured: "Measured | None", *, as_json: bool) -> None:
    from kotovec.cli.tables import print_pairs

    if as_json:
        data = {**asdict(record), "name": record.name, "measured": asdict(measured) if measured else None}
        echo(json_line(data))
    else:
        how = " ".join(filter(None, (record.metric, record.factory, record.parameters)))
        pairs = [("index", f"{Space.parse(record.space).title}; {how}")]
        if measured is not None:
            pairs += [
                (
                    f"recall@{measured.nearest}",
                    f"{measured.recall_at_10:.4f} of the neighbours of {counted(measured.queries, 'token')}",
                ),
                (
                    "of sums",
                    f"{measured.recall_at_10_of_sums:.4f} of the {measured.nearest_of_sums} of as many sums a - b + c",
                ),
                (
                    "queries/s",
                    f"{measured.queries_per_second:,.0f}, Flat {measured.flat_queries_per_second:,.0f}",
                ),
            ]
            if measured.filled:
                few = f"{measured.filled:,} of {2 * measured.queries:,} queries: every vector was searched instead"
                pairs.append(("too few", few))
        print_pairs(pairs)
