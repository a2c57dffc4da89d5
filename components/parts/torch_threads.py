"""How many threads torch works on, for as long as it matters: the setting is one for the whole process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


def cores() -> int:
    """Return how many cores this machine has."""
    return os.cpu_count() or 1


def too_many(count: int) -> list[str]:
    """Say where more threads are asked for than there are cores; very many end the program, without a word."""
    there = cores()
    return [] if count <= there else [
        f"threads: {count} are more than this machine's {there} core{'s' * (there > 1)}, so it works on {there}: last "
        "digits may differ from those of a machine that has more"]


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let torch work on so many threads, on one for each core at most, and leave the setting as it was found."""
    import torch  # where nothing learns, nobody waits for it

    before = torch.get_num_threads()
    torch.set_num_threads(min(count, cores()))
    try:
        yield
    finally:
        torch.set_num_threads(before)
