"""The nearest rows of every row, with progress: what `geometry`, `hubs` and `neighbours` begin with."""

from typing import TYPE_CHECKING

from kotovec.cluster.events import Progress

if TYPE_CHECKING:
    from kotovec.cli.progress import Display
    from kotovec.space import Space
    from kotovec.store import Store
    from kotovec.store.neighbours import Neighbours


def near_rows(store: "Store", space: "Space", k: int, display: "Display", metric: str = "cosine") -> "Neighbours":
    """Return the k nearest rows of every row, which the store keeps, and display how far they are.

    Raises:
        InputError, NotStoredError, DiskFullError: as `find_or_make`.
    """
    from kotovec.cli.chosen import lowered
    from kotovec.store.geometry.csls import AROUND
    from kotovec.store.geometry.kept import find_or_make

    k = lowered(k, max(1, len(store) - 1))
    if metric == "csls":  # which is made of cosines
        near_rows(store, space, max(1, min(AROUND, len(store) - 1)), display)
    display.say(f"{space.title}: nearest rows")

    def report(done: int, total: int) -> None:
        display.show(Progress(done, total, "row"))

    return find_or_make(store, space, k, metric=metric, report=report, note=display.note)
