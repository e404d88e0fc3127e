"""kotovec: the vocabulary of a language model as a vector database, and word arithmetic in it.

>>> import kotovec
>>> store = kotovec.build("demo", workers=0)  # or kotovec.open("demo.kotovec")
>>> store.search("king - man + woman", exclude_inputs=True)

Importing this package is cheap: each public name is imported on first use.
"""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kotovec.version import __version__

if TYPE_CHECKING:
    from kotovec.cluster.front import build
    from kotovec.errors import KotovecError
    from kotovec.space import Space
    from kotovec.store import Answer, Store
    from kotovec.store import open_store as open  # noqa: A004 — `kotovec.open`, as `gzip.open`

__all__ = ["Answer", "KotovecError", "Space", "Store", "__version__", "build", "open"]

_HOMES = {
    "Answer": ("kotovec.store", "Answer"),
    "KotovecError": ("kotovec.errors", "KotovecError"),
    "Space": ("kotovec.space", "Space"),
    "Store": ("kotovec.store", "Store"),
    "build": ("kotovec.cluster.front", "build"),
    "open": ("kotovec.store", "open_store"),
}

# In a checkout the sub-packages lie beside this folder, not in it. An install maps them, but a process that starts
# in the checkout (python -m, -c, and every Ray worker, which has the driver's working directory at the front of
# its sys.path) finds this folder first, and would find no `kotovec.store` in it.
_checkout = Path(__file__).parents[1]
if (_checkout / "pyproject.toml").is_file() and (_checkout / "store" / "shard.py").is_file():
    __path__.append(str(_checkout))


def __getattr__(name: str) -> Any:
    """Import a public name on first use: h5py and numpy take 0.2 s to import, torch 2 s."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return getattr(import_module(module), attribute)
