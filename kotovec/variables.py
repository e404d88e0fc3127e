"""Environment variables of OpenMP, BLAS, Rayon and Numba that hold what these cannot read.

GNU's OpenMP writes two lines of its own for each, whatever `--quiet` says, and for `GOMP_CPU_AFFINITY=x` it never
returns; Numba raises. Without the variable, each library takes as many threads as there are cores.
"""

import os
import re

_COUNT, _BOOLEAN, _BIND = r"0*[1-9]\d{0,8}", "true|false", "master|primary|close|spread"
_SIZE, _CPUS = r"\d{1,15}\s*[bkmg]?", r"\d+(-\d+(:\d+)?)?"
# https://gcc.gnu.org/onlinedocs/libgomp/Environment-Variables.html and the manuals of the others: what each can read.
_READ = {
    "OMP_NUM_THREADS": rf"{_COUNT}(\s*,\s*{_COUNT})*",
    "OMP_THREAD_LIMIT": _COUNT,
    "OMP_MAX_ACTIVE_LEVELS": r"\d{1,9}",
    **dict.fromkeys(("OMP_DYNAMIC", "OMP_NESTED", "OMP_CANCELLATION"), _BOOLEAN),
    "OMP_WAIT_POLICY": "active|passive",
    "OMP_PROC_BIND": rf"{_BOOLEAN}|({_BIND})(\s*,\s*({_BIND}))*",
    "OMP_PLACES": r"(threads|cores|sockets|ll_caches|numa_domains)(\s*\(\s*[1-9]\d*\s*\))?|!?\s*(\{|\d).*",
    "OMP_SCHEDULE": r"((non)?monotonic\s*:\s*)?(static|dynamic|guided|auto)(\s*,\s*\d+)?",
    **dict.fromkeys(("OMP_STACKSIZE", "GOMP_STACKSIZE"), _SIZE),
    "GOMP_CPU_AFFINITY": rf"{_CPUS}([\s,]+{_CPUS})*",
    "GOMP_SPINCOUNT": r"\d{1,15}\s*[kmgt]?|infinite|infinity",
    **dict.fromkeys(("MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), _COUNT),
    "RAYON_NUM_THREADS": r"\d{1,9}",  # 0 is one per core
    "NUMBA_THREADING_LAYER": "default|safe|threadsafe|forksafe|workqueue|omp|tbb",
}


def drop_unreadable() -> list[tuple[str, str]]:
    """Remove what no library can read from the environment; return the names and values, but for empty values.

    To be called before the libraries are loaded, some of which read their variables then.
    """
    found = [
        (name, value)
        for name, known in _READ.items()
        if (value := os.environ.get(name)) is not None
        and not re.fullmatch(rf"\s*({known})\s*", value, re.IGNORECASE | re.ASCII)
    ]
    for name, _ in found:
        del os.environ[name]
    return [(name, value) for name, value in found if value.strip()]
