"""Index files that may be anyone's, read by faiss, which trusts them.

One of them can name any other file, which faiss then maps, and claim sizes that no memory has.
"""

import mmap
import re
from io import BufferedReader
from typing import Any

from kotovec.locks import ForkLock

# The inverted lists of an index on disk: "ilod", number of lists, bytes per code, and a vector, of less than 2^40
# entries as faiss itself demands; so chance finds it in 1 of 10^16 bytes. They name the file that faiss maps.
_ON_DISK = re.compile(rb"ilod.{16}.{5}\0\0\0", re.DOTALL)
# An IVF index with product quantization gets a table of up to 256 times its own size: M × 256 of D numbers, M ≤ D.
_MOST_TIMES = 256
_INNER = ("index", "base_index", "refine_index", "quantizer", "storage")  # indexes in an index
_lock = ForkLock()  # faiss' limits are those of the process


def is_alone(file: BufferedReader) -> bool:
    """Return whether an index is all in its own file, and names no other."""
    if file.seek(0, 2) == 0:
        return True
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return data.find(b"ilod") < 0 or _ON_DISK.search(data) is None


def read(faiss: Any, file: BufferedReader) -> Any:
    """Return the index in an open file, memory-mapped; none of its parts takes more than 256 times the file's size.

    By its descriptor: this is the file that was checked, and faiss accepts only paths in UTF-8.

    Raises:
        RuntimeError, MemoryError: faiss cannot read it.
    """
    size = file.seek(0, 2)
    with _lock:
        before = faiss.get_deserialization_vector_byte_limit(), faiss.get_deserialization_loop_limit()
        faiss.set_deserialization_vector_byte_limit(_MOST_TIMES * size + 1)
        faiss.set_deserialization_loop_limit(size + 1)
        try:
            index = faiss.read_index(f"/dev/fd/{file.fileno()}", faiss.IO_FLAG_MMAP_IFC)
        finally:
            faiss.set_deserialization_vector_byte_limit(before[0])
            faiss.set_deserialization_loop_limit(before[1])
    bound(faiss, index)
    return index


def bound(faiss: Any, index: Any) -> None:
    """Let no search keep more candidates than there are vectors, which finds the same in any memory.

    faiss takes room for as many as the file says: 16 GB for an HNSW with efSearch=2147483647.
    """
    left = [index]
    while left:
        each = faiss.downcast_index(left.pop())
        most = max(1, each.ntotal)
        for part, name in ((getattr(each, "hnsw", None), "efSearch"), (getattr(each, "nsg", None), "search_L")):
            if part is not None and getattr(part, name) > most:
                setattr(part, name, most)
        if not 1 <= getattr(each, "k_factor", 1) <= most:
            each.k_factor = most
        left += [inner for name in _INNER if (inner := getattr(each, name, None)) is not None]
