"""How many threads torch works on, for as long as it matters: the setting is one for the whole process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let torch work on so many threads, and leave the setting as it was found."""
    import torch  # where nothing learns, nobody waits for it

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
