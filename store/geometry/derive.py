"""A derived space: the vectors of another one after a step, as a space of the store like any other."""

import contextlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from kotovec import access
from kotovec.errors import DamagedError, StoreError
from kotovec.space import Space
from kotovec.store.database import Store
from kotovec.store.finite import check_space
from kotovec.store.geometry.steps import FITS, Step
from kotovec.store.layout import Layout
from kotovec.store.lock import locked
from kotovec.store.moments import blocks
from kotovec.store.prototypes import check_single
from kotovec.store.tokens import Kind
from kotovec.store.writer import writing_space

COUNTS = "n"  # the part of means that says which rows have a vector


def derive(
    store: Store,
    space: Space | str,
    step: Step,
    *,
    overwrite: bool = False,
    report: Callable[[int, int], None] = lambda *_: None,
) -> Space:
    """Write the space that a step derives from another one; return it. The store must be opened again to read it.

    Args:
        store: an open store.
        space: the space that the step is applied to, which may be derived itself.
        step: the step.
        overwrite: write a space again that is there already.
        report: called with how many of how many rows are written.

    Raises:
        NotStoredError: no such space.
        InputError: it has several vectors per token, or the step does not fit its dimensions.
        StoreBusyError: another process is changing this store.
        StoreError: nothing can be written into the store, or it was replaced since it was opened.
        DiskFullError: no space is left.
    """
    space = store.space(space)
    check_single(space, "a transform")
    derived = replace(space, steps=(*space.steps, str(step)))
    vectors, attributes = store.vectors, store.vectors.attributes
    if vectors.is_former:
        raise StoreError(f"{store.path} is of an older format, which no space is added to", hint="build it again")
    origin = {"of": str(space), "dataset": vectors.checksum(space), "fit": step.fit}
    if derived in store.spaces and not overwrite:
        with contextlib.suppress(DamagedError):  # which is written again
            if vectors.made(derived).get("derived") == origin:
                return derived
    layout = Layout(store.path)
    access.check_writable(layout.spaces)
    check_space(vectors, space)
    array, norms = store.array(space), store.norms(space)
    rows = norms > 0
    if step.fit != FITS[0]:
        rows &= store.tokens.kinds == Kind.WORD
    learnt = step.learn(array, rows)
    source = vectors.made(space)
    made = {"derived": origin, "settings": source.get("settings", {})}
    made["finished"] = datetime.now(UTC).isoformat(timespec="seconds")
    counts = vectors.part(space, COUNTS)
    with locked(layout):
        store.check_current()
        shape, identity = (len(array), array.shape[1]), str(attributes["identity"])
        with writing_space(layout, derived, shape, "float32", identity, made) as writer:
            for block in blocks(array):
                writer.add(learnt.apply(array[block].astype(np.float64)))
                report(min(block.stop, len(array)), len(array))
            writer.parts = learnt.parts | ({} if counts is None else {COUNTS: counts})
    return derived
