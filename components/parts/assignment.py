"""Which row of a batch is asked of which member of an ensemble, and the order in which that costs one network a row."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from ...loops.errors import RunError

Assign = Literal["random", "balanced"]


class Groups:
    """Rows brought into one group for each member, and back; a planner whose rows keep their members makes it once.

    Args:
        member: [rows] which member each row is asked of; an array, or a tensor on the device of the rows.
        members: how many there are.
    """

    def __init__(self, member: Any, members: int) -> None:
        self.member = member
        order: Any
        if isinstance(member, np.ndarray):
            counts, order = np.bincount(member, minlength=members).tolist(), np.argsort(member, kind="stable")
            steady = bool((np.diff(member) >= 0).all())
        else:
            import torch

            sorted_members, order = torch.sort(member, stable=True)
            counts = torch.bincount(sorted_members, minlength=members).tolist()
            steady = torch.equal(sorted_members, member)
        if len(counts) > members:
            raise RunError(f"a row is asked of member {len(counts) - 1}, and there are {members}, counted from 0")
        self.count = sum(counts)
        self._order = None if steady else order
        self._back = None if steady else order.argsort()
        ends = np.cumsum(counts).tolist()
        self.spans = [(number, end - count, end) for number, (count, end) in enumerate(zip(counts, ends, strict=True))
                      if count]  # member, first row and end of its group

    def gather(self, rows: Any) -> Any:
        """Return rows [rows, ...] in the order of the groups."""
        if len(rows) != self.count:
            raise RunError(f"{len(rows)} rows for {self.count} assigned members: give one member for each row")
        if self._order is None:
            return rows
        return rows[self._order] if isinstance(rows, np.ndarray) else rows.index_select(0, self._order)

    def scatter(self, rows: Any) -> Any:
        """Return rows [rows, ...] that are in the order of the groups in the order in which they came."""
        if self._order is None:
            return rows
        return rows[self._back] if isinstance(rows, np.ndarray) else rows.index_select(0, self._back)

    def padded(self) -> tuple[np.ndarray, np.ndarray]:
        """Return where the groups, filled up to one size, take their rows [groups, size], and where each row went.

        What fills up is a group's last row once more; the second is [rows], into the flattened groups.
        """
        size = max((end - first for _, first, end in self.spans), default=0)
        take = np.stack([np.minimum(first + np.arange(size), end - 1) for _, first, end in self.spans])
        went = np.concatenate([group * size + np.arange(end - first)
                               for group, (_, first, end) in enumerate(self.spans)])
        return take, went


def at_random(count: int, among: Any, generator: Any) -> Any:
    """Return a member [count] for each row, each drawn by itself from `among` [members].

    The generator is torch's (tensors) or NumPy's (arrays).
    """
    if isinstance(generator, np.random.Generator):
        return np.asarray(among)[generator.integers(len(among), size=count)]
    import torch

    drawn = torch.randint(len(among), (count,), generator=generator, device=generator.device)
    return torch.as_tensor(among, device=generator.device)[drawn]


def balanced(count: int, among: Any, generator: Any) -> Any:
    """Return a member [count] for each row, every one of `among` as often as the others (or once more), shuffled."""
    if isinstance(generator, np.random.Generator):
        order = generator.permutation(len(among))  # so that the odd rows fall to anybody
        return np.asarray(among)[order[generator.permutation(count) % len(among)]]
    import torch

    device = generator.device
    shuffled = torch.as_tensor(among, device=device)[torch.randperm(len(among), generator=generator, device=device)]
    return shuffled[torch.randperm(count, generator=generator, device=device) % len(among)]


HOW = {"random": at_random, "balanced": balanced}
