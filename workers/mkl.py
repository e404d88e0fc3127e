"""Products with weights that MKL packs once: functions of its documentation, in the library that torch brings.

torch's own products have MKL pack a weight anew in each, which takes 5-8 % of a product of 576 rows.
"""

import ctypes
import functools
from typing import Any

# Of mkl_cblas.h. Numbers are passed as wide as an address: that does for 32 and 64 bits.
_ROW_MAJOR, _AS_IT_IS, _TRANSPOSED, _PACKED, _RIGHT = 101, 111, 112, 151, 162
_INT, _FLOAT, _ADDRESS = ctypes.c_ssize_t, ctypes.c_float, ctypes.c_void_p
_FUNCTIONS = {
    "cblas_sgemm_pack_get_size": ([_INT] * 4, ctypes.c_size_t),
    "cblas_sgemm_pack": ([*[_INT] * 6, _FLOAT, _ADDRESS, _INT, _ADDRESS], None),
    "cblas_sgemm_compute": ([*[_INT] * 6, _ADDRESS, _INT, _ADDRESS, _INT, _FLOAT, _ADDRESS, _INT], None),
}


@functools.cache
def library() -> Any:
    """Return torch's library with these functions; None where it has another BLAS, as on ARM."""
    import torch

    try:
        found = ctypes.CDLL(torch._C.__file__)  # noqa: SLF001 — it brings all of torch along
        for name, (arguments, result) in _FUNCTIONS.items():
            function = getattr(found, name)
            function.argtypes, function.restype = arguments, result
    except (OSError, AttributeError):
        return None
    return found


def packed_bytes(rows: int, shape: tuple[int, int]) -> int:
    """Return how much room a packed (n, k) weight is to be given; MKL leaves most of it untouched."""
    return int(library().cblas_sgemm_pack_get_size(_RIGHT, rows, *shape))


def pack(rows: int, weight: Any, address: int) -> None:
    """Pack a contiguous (n, k) float32 weight for products with so many rows."""
    n, k = weight.shape
    library().cblas_sgemm_pack(_ROW_MAJOR, _RIGHT, _TRANSPOSED, rows, n, k, 1.0, weight.data_ptr(), k, address)


def multiply(states: Any, address: int, out: Any, *, add: bool) -> None:
    """Write states · weightᵀ into `out`, or add it: contiguous (rows, k) and (rows, n) float32."""
    (rows, k), n = states.shape, out.shape[1]
    sizes = rows, n, k, states.data_ptr(), k, address, n
    library().cblas_sgemm_compute(_ROW_MAJOR, _AS_IT_IS, _PACKED, *sizes, float(add), out.data_ptr(), n)
