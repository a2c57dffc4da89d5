"""A stored array as xarray wants it: read when used, and only the rows that are."""

from __future__ import annotations

from typing import Any

import numpy as np

from .stored import StoredColumn


def lazy(column: StoredColumn) -> Any:
    """Wrap a stored array so that xarray reads only the rows that are used."""
    from xarray.backends import BackendArray
    from xarray.core import indexing

    class Rows(BackendArray):
        shape, dtype = column.shape, column.dtype

        def __getitem__(self, key: indexing.ExplicitIndexer) -> np.ndarray:
            return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.BASIC, self._read)

        @staticmethod
        def _read(key: tuple[Any, ...]) -> np.ndarray:
            rows, rest = key[0], key[1:]
            if not isinstance(rows, slice):
                return column.read(int(rows), int(rows) + 1)[(0, *rest)]
            wanted = range(*rows.indices(len(column)))
            if not len(wanted):
                return column.read(0, 0)[(slice(None), *rest)]
            low, high = min(wanted[0], wanted[-1]), max(wanted[0], wanted[-1])
            values = column.read(low, high + 1)[(slice(None), *rest)]
            return values[::wanted.step] if wanted.step > 0 else values[::-1][::-wanted.step]

    return indexing.LazilyIndexedArray(Rows())
