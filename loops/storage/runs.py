"""Runs: recordings opened for reading, whether finished, interrupted or still being written."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import RunError, nearest
from ..time import parse_duration
from . import log_hash as hashing
from . import trials as cutting
from .journal import is_locked
from .lazy import lazy
from .run_directories import check_run, list_runs, new_run_directory
from .stored import JOURNAL, StoredColumn, episode_means, read_stored, recover_stored, table_column
from .zarr_files import DOCUMENT, read_coordinate, read_document

if TYPE_CHECKING:
    import pandas
    import xarray

__all__ = ["Run", "StreamFacts", "first_difference", "list_runs", "log_hash", "new_run_directory", "open", "recover"]


@dataclass(frozen=True)
class StreamFacts:
    """What is known of one recorded port without reading it."""

    key: str
    kind: str  # "signal", "event" or "metric"
    rows: int
    shape: tuple[int, ...]  # of one row, lanes first where there are any
    dtype: str
    dimensions: tuple[str, ...]
    bytes: int  # before compression


def open(path: str | os.PathLike[str]) -> Run:
    """Open a run for reading; nothing is written, and a run that is being written may be opened too."""
    return Run(path)


def recover(path: str | os.PathLike[str]) -> Run:
    """Fold the tail of an interrupted run into its arrays, trim and consolidate it; return it opened.

    A run that is whole is left as it is. Raises RunError while another process writes it.
    """
    recover_stored(check_run(path))
    return Run(path)


def log_hash(run: Run, rename: Mapping[str, str] | None = None, without: Iterable[str] = ()) -> str:
    """Return a hash over every recorded row: equal runs have equal hashes, whatever the clock on the wall said.

    `rename` maps names of components to those under which they are compared; `without` leaves out components or ports.
    """
    return hashing.log_hash(run.stored, rename, without)


def first_difference(one: Run, other: Run, rename: Mapping[str, str] | None = None, without: Iterable[str] = ()
                     ) -> tuple[int, str] | None:
    """Return the first instant (ns) and port at which two runs part, or None when every row is the same."""
    return hashing.first_difference(one.stored, other.stored, rename, without)


class Run:
    """One recording: `run["brain.rates"]`, `run.episodes()`, `run.trials("brain.rates")`.

    It shows the run as it was when it was opened; `refresh` looks again.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = check_run(path)
        self.refresh()

    def refresh(self) -> Run:
        """Look again at a run that is being written; returns itself. Raises RunError when it is gone."""
        self.stored = read_stored(self.path)
        self._places = {layout.key: i for i, layout in enumerate(self.stored.layouts)}
        self.__dict__.pop("streams", None)
        return self

    def __repr__(self) -> str:
        return f"<Run {self.path.name}: {self.state}, {len(self._places)} streams>"

    @property
    def name(self) -> str:
        return self.path.name.removesuffix(".zarr")

    @property
    def attributes(self) -> dict[str, Any]:
        """Resolved assembly, hash, versions and whatever else was noted at the root."""
        if not (self.path / DOCUMENT).is_file():
            return {}  # killed before its first instant
        return dict(read_document(self.path).get("attributes", {}))

    @property
    def state(self) -> str:
        """Why it ended (`finished`, `recovered`, ...), or "running", or "interrupted"."""
        return self.stored.closed or ("running" if is_locked(self.path / JOURNAL) else "interrupted")

    @property
    def damage(self) -> str:
        """What can no longer be read because files changed after they were written; empty where nothing is lost."""
        return self.stored.damage

    @cached_property
    def streams(self) -> dict[str, StreamFacts]:
        """Every recorded port by name."""
        facts = {}
        for layout, rows in zip(self.stored.layouts, self.stored.rows, strict=True):
            value = layout.columns[-1]
            facts[layout.key] = StreamFacts(layout.key, layout.kind, rows, value.shape, value.dtype, value.dimensions,
                                            rows * layout.row_bytes)
        return facts

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def columns(self, key: str) -> dict[str, StoredColumn]:
        """Return the stored arrays of a port (time, value; for events also lane, index), read only when asked."""
        return self.stored.columns(self._place(key))

    def _place(self, key: str, kinds: tuple[str, ...] = ("signal", "metric", "event")) -> int:
        if key not in self._places:
            raise KeyError(f"{self.path.name} holds no {key!r}. {nearest(key, self._places)}")
        place = self._places[key]
        if self.stored.layouts[place].kind not in kinds:
            other = f'run.events("{key}")' if "signal" in kinds else f'run["{key}"]'
            raise RunError(f"{key} is of kind {self.stored.layouts[place].kind}; use {other}")
        return place

    def __getitem__(self, key: str) -> xarray.DataArray:
        """Return a signal as a DataArray (time, lane, ...), read from the disk when it is used."""
        import xarray

        place = self._place(key, ("signal", "metric"))
        layout, columns = self.stored.layouts[place], self.stored.columns(place)
        attributes = read_document(self.path / layout.path / "value").get("attributes", {})
        attributes.pop("coordinates", None)
        data = xarray.Variable(layout.columns[-1].dimensions, lazy(columns["value"]), attributes)
        coordinates = {"time": ("time", columns["time"].read(), {"units": "ns"}), **self._labels(place)}
        return xarray.DataArray(data, coordinates, name=key)

    def events(self, key: str) -> xarray.Dataset:
        """Return an event port as a Dataset over `event`: time (ns), lane, index and, where there is one, value."""
        import xarray

        place = self._place(key, ("event",))
        layout = self.stored.layouts[place]
        values = {column.name: (column.dimensions, self.stored.columns(place)[column.name].read())
                  for column in layout.columns if column.stored}
        found = xarray.Dataset(values, self._labels(place),
                               read_document(self.path / layout.path).get("attributes", {}))
        found["time"].attrs["units"] = "ns"
        return found

    def _labels(self, place: int) -> dict[str, Any]:
        layout = self.stored.layouts[place]
        own = {column.name for column in layout.columns}
        return {child.name: read_coordinate(child) for child in sorted((self.path / layout.path).iterdir())
                if child.name not in own and (child / DOCUMENT).is_file()}

    @property
    def bodies(self) -> list[str]:
        """Names of the components that publish `status` and `reward`, and of which both are recorded."""
        return [key.removesuffix(".status") for key in self._places
                if key.endswith(".status") and key.removesuffix("status") + "reward" in self._places]

    def body(self, body: str | None = None) -> str:
        """Return the name of the body: the component that publishes `status` and `reward`."""
        bodies = self.bodies
        if body is None and len(bodies) == 1:
            return bodies[0]
        if body in bodies:
            return str(body)
        if not bodies:
            raise RunError(f"{self.path.name} holds no body: record `status` and `reward` of one")
        raise RunError(f'say which body is meant, for example body="{bodies[0]}"; there are {", ".join(bodies)}')

    def _episodes(self, body: str | None) -> dict[str, np.ndarray]:
        name = self.body(body)
        solved = self.columns(f"{name}.solved") if f"{name}.solved" in self else None
        return cutting.episodes(self.columns(f"{name}.status"), self.columns(f"{name}.reward"), solved)

    def episodes(self, body: str | None = None) -> pandas.DataFrame:
        """Return one row an episode: lane, episode, start and end (ns), length (steps), return, how, solved.

        A running episode has no end yet (`<NA>`); `solved` is missing where the body does not know.
        """
        import pandas

        table = pandas.DataFrame(self._episodes(body))
        table["end"] = table["end"].astype("Int64").mask(table["how"] == "running")
        table["solved"] = table["solved"].astype("boolean")
        return table

    def trials(self, port: str, align: str = "start", window: tuple[str | int, str | int] | None = None, *,
               every: str | int | None = None, body: str | None = None) -> xarray.DataArray:
        """Cut a signal into one trial for each episode that ended: [trial, time, ...], time 0 at its start or end.

        `window` reaches from and to there (`("-0.1 s", "0.5 s")`); without it a trial is its episode, and what lies
        behind a shorter one is NaN. `every` is the distance of the times, by default that of the port.
        """
        import xarray

        place = self._place(port, ("signal", "metric"))
        dimensions = self.stored.layouts[place].columns[-1].dimensions
        per_lane = "lane" in dimensions[1:2]
        cut = cutting.trials(self.stored.columns(place), self._episodes(body), per_lane, align, window, every)
        rest = dimensions[1 + per_lane:]
        labels = {name: label for name, label in self._labels(place).items() if label[0][0] in rest}
        table = {name: ("trial", column) for name, column in cut["episodes"].items()}
        return xarray.DataArray(cut["values"], {"time": ("time", cut["offsets"], {"units": "ns"}), **labels, **table},
                                ("trial", "time", *rest), name=port)

    def transitions(self, body: str | None = None, action: str | None = None, reads: str | None = None,
                    delay: str | int | None = None, *, drop_truncated: bool = False) -> xarray.Dataset:
        """Return one row a step: observation, action, reward, next_observation, terminated, truncated, lane, time.

        The action is what the body acted on. Which port that is, how it is read and how late it comes follow from the
        wires kept in the run, unless they are given (`action="brain.action", reads="hold", delay="2 ms"`).
        """
        import xarray

        name = self.body(body)
        wire = self.attributes.get("wires", {}).get(f"{name}.action", {})
        source = action or wire.get("from") or self._only_action(name)
        how, late = reads or wire.get("reads"), delay if delay is not None else wire.get("delay_ns")
        if how is None or late is None:
            raise RunError(f"{self.path.name} does not say how {name} reads its action and how late it comes; pass "
                           'both, for example reads="hold", delay=0')
        if how not in ("now", "hold"):
            raise RunError(f"{name} reads its action {how!r}: a step has no single action; pass reads='hold' to take "
                           "the one in force at its beginning")
        columns = cutting.transitions(
            self.columns(f"{name}.observation"), self.columns(source), self.columns(f"{name}.reward"),
            self.columns(f"{name}.status"), answered=how == "now", delay=parse_duration(late),
            drop_truncated=drop_truncated)
        axes = {"observation": self.streams[f"{name}.observation"].dimensions[2:],
                "action": self.streams[source].dimensions[2:]}
        axes["next_observation"] = axes["observation"]
        return xarray.Dataset({key: (("transition", *(f"{'action' if key == 'action' else 'observation'}_{axis}"
                                                      for axis in axes.get(key, ()))), column)
                               for key, column in columns.items()})

    def _only_action(self, body: str) -> str:
        found = [key for key in self._places if key.endswith(".action") and not key.startswith(f"{body}.")]
        if len(found) == 1:
            return found[0]
        raise RunError('say which action the body took, for example action="brain.action"; recorded are '
                       f"{', '.join(found) or 'none'}")

    @property
    def evaluation_names(self) -> list[str]:
        return sorted(self.stored.evaluations)

    def evaluations(self, name: str, *, each: bool = False) -> pandas.DataFrame:
        """Return the rows of an evaluation; return, length and success are means over its episodes.

        With `each` there is one row for every episode of every evaluation instead.
        """
        import pandas

        if name not in self.stored.evaluations:
            raise KeyError(f"{self.path.name} holds no evaluation {name!r}. {nearest(name, self.stored.evaluations)}")
        rows = self.stored.evaluations[name]
        fields = {field: table_column([row.get(field) for row in rows]) for row in rows for field in row}
        if not each:
            return pandas.DataFrame({field: episode_means(values) for field, values in fields.items()})
        width = max((values.shape[1] for values in fields.values() if values.ndim == 2), default=1)
        table = {field: values.ravel() if values.ndim == 2 else np.repeat(values, width)
                 for field, values in fields.items() if values.shape[1:] in ((), (width,))}
        return pandas.DataFrame({"evaluation": np.repeat(np.arange(len(rows)), width),
                                 "episode_number": np.tile(np.arange(width), len(rows)), **table})

    def metrics(self) -> pandas.DataFrame:
        """Return every laneless scalar as a column over time (ns); empty where it was not published."""
        import pandas

        series = {}
        for key, facts in self.streams.items():
            if facts.kind == "metric" and facts.shape == ():
                columns = self.columns(key)
                series[key] = pandas.Series(columns["value"].read(), index=columns["time"].read())
        table = pandas.DataFrame(series)
        table.index.name = "time"
        return table.sort_index()
