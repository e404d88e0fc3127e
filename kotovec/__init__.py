"""kotovec: the vocabulary of a BERT-like model as a vector database, and word arithmetic in it.

`from kotovec import Store` is `from kotovec.store import Store`; importing this package imports nothing heavy.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kotovec.version import __version__

if TYPE_CHECKING:
    from kotovec.store import Store

__all__ = ["Store", "__version__"]

# In a checkout the sub-packages lie beside this folder, not in it. An install maps them, but whatever starts
# in the checkout (python -m, -c, and every Ray worker, which gets the driver's working directory in front of
# its sys.path) finds this folder first and would find no `kotovec.store` in it.
_checkout = Path(__file__).parents[1]
if (_checkout / "pyproject.toml").is_file() and (_checkout / "store" / "shard.py").is_file():
    __path__.append(str(_checkout))


def __getattr__(name: str) -> Any:
    """Import `Store` when it is first asked for: h5py and numpy take 0.2 s."""
    if name == "Store":
        from kotovec.store import Store

        return Store
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
