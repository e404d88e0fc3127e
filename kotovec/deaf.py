"""Where a library works for seconds and hears no signal: a command line may let one end the process meanwhile."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar

around: ContextVar[Callable[[], AbstractContextManager[None]]] = ContextVar("around", default=nullcontext)


@contextmanager
def deaf() -> Iterator[None]:
    """Run a block in which no handler of Python's would run: a tokenizer of 75 MB takes 17 s to be read."""
    with around.get()():
        yield
