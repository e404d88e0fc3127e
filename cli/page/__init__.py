"""A map as a page: one self-contained HTML file, which Bokeh draws with WebGL in a browser."""

from collections.abc import Sequence
from pathlib import Path

from kotovec.cli.page.bundle import bundle, import_bokeh
from kotovec.cli.page.data import page_data, script_of
from kotovec.cli.picture import model_of
from kotovec.store.database import Store
from kotovec.store.maps import Map
from kotovec.store.outputs import write_output
from kotovec.text import counted

__all__ = ["import_bokeh", "script_of", "write_page"]


def write_page(store: Store, maps: Sequence[Map], expression: str | None, path: Path) -> None:
    """Write the page.

    Args:
        store: the store of the maps.
        maps: one map per space, all of the same tokens; the page opens with the first one.
        expression: the expression whose way is drawn, if any.
        path: the file to write.

    Raises:
        MissingDependencyError: Bokeh is not installed.
        InputError: the expression has no way on the maps.
        DiskFullError: no space is left.
    """
    import_bokeh()  # before the search for neighbours, which takes long
    title = f"{model_of(store)}: {counted(len(maps[0].rows), 'token')}"
    page = bundle(title, page_data(store, maps, expression))
    write_output(path, page.encode())
