"""Studies: assemblies run in order and over variants, sweeps and seeds, ending in one table and a verdict."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..assemblies import settings
from ..loops.errors import AssemblyError, Problem, RunError, nearest
from ..loops.fleet import Fleet
from ..loops.storage.atomic import replace_shared
from .loading import shipped as assemblies
from .settings import Settings
from .studying import reading, tables, texts
from .studying.cells import ROOT, Place, Point, expand, points
from .studying.checking import Checks
from .studying.description import Stage
from .studying.ends import StudyStopped, check_ended, clear
from .studying.hosting import Hosted, Report, Told
from .studying.records import STUDY, read
from .studying.shipping import Artifacts, ship, stamps, stand_in
from .studying.states import Cells
from .studying.tables import Row, Verdict
from .studying.working import Say, run_free, work_on

SHIPPED = Path(__file__).resolve().parent / "studies"
STOP = getattr(signal, "SIGUSR1", signal.SIGINT)  # asks helpers to stop; who has heard Ctrl-C takes it for no second


def say_nothing(line: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Result:
    """What a study came to."""

    rows: list[Row]
    verdicts: list[Verdict]

    @property
    def passed(self) -> bool:
        """Does everything hold that was expected?"""
        return all(verdict.holds for verdict in self.verdicts)


class Study:
    """A study and the folder in which its cells lie; any number of processes may work on one at once."""

    def __init__(self, path: Path, *, small: bool = False, folder: Path | None = None,
                 allowed: Settings | None = None, retrain: bool = False) -> None:
        """Read the study in `path`; its cells lie in `folder` (default: `studies/<name>`).

        Shipped weights that a stage made stand for it, unless `retrain` says to run it all the same.
        """
        self.path, self.small, self.retrain = path, small, retrain
        self.description = reading.load(path, small)
        self.full = reading.load(path) if small else self.description
        name = self.description.name + ("_small" if small else "")
        self.folder = Path(folder or Path("studies") / name).resolve()
        allowed = allowed or settings.read()
        self.allowed = replace(allowed, roots={**allowed.roots, ROOT: self.folder})
        self.reasons: dict[str, str] = {}  # by stage, why shipped weights stand for it, or do not
        self._stages: dict[str, Cells] = {}
        self.checks = Checks(self)

    def run(self, *, workers: int = 1, shard: tuple[int, int] = (0, 1), rerun: tuple[str, ...] = (),
            accept_stale: bool = False, say: Say = say_nothing, show: bool = False,
            fleet: Fleet | None = None) -> Result:
        """Run what has not finished, stage after stage, and return table and verdicts.

        Args:
            workers: processes of this machine that share the work; a fleet has its own number.
            shard: (i, n): begin with every n-th cell from the i-th on, where n processes work on the same folder.
            rerun: states (`stale`, `failed`) whose cells are run anew.
            accept_stale: take finished cells as they are, although code has changed since.
            say: told a line whenever a cell begins or ends; with several workers a function of a module.
            show: draw at a terminal how far each stage is, and say there what ended.
            fleet: processes of a cluster that run the cells, in place of this process and its workers.
        """
        name = self.path.stem if self.path.parent == SHIPPED else str(self.path.resolve())
        said = {"study": name, "small": self.small, "retrain": self.retrain}
        told = Told(name, self.small, self.retrain, self.folder, self.allowed)
        hosted = None if fleet is None else Hosted(fleet, told)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            replace_shared(self.folder / STUDY, json.dumps(said, indent=1).encode())
        except OSError as error:
            raise RunError(f"{self.folder} cannot be written: {error}. Choose another folder with --out") from error
        self.checks.check()  # what cannot be built at the end must not be found out after days of training
        try:
            for stage in self.description.stages.values():
                self._run_stage(stage, workers, shard, rerun, accept_stale, say, show, hosted)
        except KeyboardInterrupt as stopped:
            raise KeyboardInterrupt(f"{str(stopped) or 'interrupted'}\ngo on with the same command") from None
        return self.result()

    def cells(self, stage: Stage) -> Cells:
        """Return the cells of a stage, or the weights that stand for them; what earlier stages keep must be there.

        Raises LookupError where an earlier stage has not finished.
        """
        if stage.name not in self._stages:
            given: dict[tuple[str, Point], Path] = {}
            for earlier in self.description.stages.values():
                if earlier.name == stage.name:
                    break
                given |= self.cells(earlier).kept()
            self._stages[stage.name] = self._skipped(stage, given) or self._expanded(stage, given)
        return self._stages[stage.name]

    def _skipped(self, stage: Stage, given: Artifacts) -> Cells | None:
        if self.retrain:
            return None
        shipped, why = stand_in(self.description, self.full, stage, given, self.folder)
        self.reasons[stage.name] = why
        return Cells(stage, self.folder / stage.name, [], self.allowed, shipped) if shipped else None

    def _expanded(self, stage: Stage, given: Artifacts) -> Cells:
        cells = expand(self.description, stage, given, self.folder)
        return Cells(stage, self.folder / stage.name, cells, self.allowed,
                     made=stamps(self.description, stage, cells, self.small))

    def result(self) -> Result:
        """Return table and verdicts of the cells that have finished; skipped stages have none."""
        numbers = tables.Numbers(self.description, self.run_of)
        found = tables.rows(self.description, numbers)
        skipped = [name for name, cells in self._stages.items() if cells.shipped]
        return Result([row for row in found if row.stage not in skipped], tables.verdicts(self.description, numbers))

    def kept(self) -> list[dict[str, str]]:
        """Return what finished cells keep, one row each: its name, cell and moment, and its file in the folder."""
        found = []
        for stage in self.description.stages.values():
            try:
                chosen = self.cells(stage).chosen()
            except LookupError:  # an earlier stage has not finished
                break
            found += [{"kept": name, "from": str(each.place), "moment": texts.moment(each.moment),
                       "file": str(each.file.relative_to(self.folder))} for (name, _), each in chosen.items()]
        return found

    def ship(self, folder: Path) -> list[Path]:
        """Copy what the stages keep, at the first point of their sweeps, into a folder; returns the files."""
        if self.small:
            raise StudyStopped("the small form learns for a few steps only: ship what the full form has learned")
        return [file for stage in self.description.stages.values()
                for file in ship(stage, self.cells(stage).kept(), folder)]

    def status(self) -> list[dict[str, Any]]:
        """Return one row a cell: stage, variant, point, state; stages that wait for others only tell their number."""
        found: list[dict[str, Any]] = []
        for stage in self.description.stages.values():
            try:
                cells = self.cells(stage)
            except LookupError:
                number = len(stage.variants) * sum(1 for _ in points(stage))
                found.append({"cell": f"{stage.name}: {texts.count(number, 'cell')}",
                              "state": "waits for what earlier stages keep"})
                continue
            if cells.shipped:
                found.append({"cell": f"{stage.name}: skipped", "state": self.reasons[stage.name]})
            for cell in cells.cells:
                found.append({"cell": cell.called, "state": cells.state(cell), "error": cells.error(cell)})
        return found

    def run_of(self, place: Place) -> Path | None:
        """Return the run of a place; None where it has not finished, or was skipped."""
        try:
            return self.cells(self.description.stages[place.stage]).run_of(place)
        except LookupError:  # an earlier stage has not finished
            return None

    def _run_stage(self, stage: Stage, workers: int, shard: tuple[int, int], rerun: tuple[str, ...],
                   accept_stale: bool, say: Say, show: bool, hosted: Hosted | None) -> None:
        cells = self.cells(stage)
        clear(cells, rerun, accept_stale)
        self.checks.check_stage(stage)
        with _watch(stage, cells) if show and cells.cells else nullcontext():
            if hosted is None:
                self._share(cells, stage, workers, shard, say)
            else:
                hosted.work_on(cells, stage.name, shard, run_cell, say)
        check_ended(cells)

    def _share(self, cells: Cells, stage: Stage, workers: int, shard: tuple[int, int], say: Say) -> None:
        """Work on a stage, beside helpers in processes of their own."""
        helpers = [self._helper(stage, (shard[0] * workers + i, shard[1] * workers), say) for i in range(1, workers)]
        try:
            work_on(cells, (shard[0] * workers, shard[1] * workers), say)
        except KeyboardInterrupt:
            interrupt(helpers)
            raise
        finally:
            for helper in helpers:
                helper.join()

    def _helper(self, stage: Stage, shard: tuple[int, int], say: Say) -> multiprocessing.process.BaseProcess:
        helper = multiprocessing.get_context("spawn").Process(
            target=help_with, args=(str(self.path), self.small, self.retrain, str(self.folder), stage.name, shard,
                                    self.allowed, say))
        helper.start()
        return helper


def _watch(stage: Stage, cells: Cells) -> Any:
    from .studying.watching import Watch

    return Watch(stage.name, cells)


def load(name: str | Path, **options: Any) -> Study:
    """Load a shipped study by name, or one from a YAML file."""
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        if str(name) in assemblies() and str(name) not in shipped():  # both may bear the name of one experiment
            raise AssemblyError([Problem("this is an assembly, not a study", str(name),
                                         f"Use stimloop run {name} or stimloop check {name}.")])
        if str(name) not in shipped():
            raise AssemblyError([Problem(f"there is no shipped study {str(name)[:80]!r}", "",
                                         f"{nearest(str(name), shipped())} A file is named with its ending .yaml.")])
        path = SHIPPED / f"{name}.yaml"
    return Study(path, **options)


def find(given: Path) -> Study | None:
    """Return the study of a folder in which one was run, as it was run there last, or the one of a name; else None."""
    if said := read(given / STUDY):
        return load(str(said["study"]), small=bool(said["small"]), retrain=bool(said["retrain"]), folder=given)
    if given.exists() and given.suffix not in (".yaml", ".yml"):
        return None
    folder = Path("studies") / given.stem
    if (folder / STUDY).is_file():
        return find(folder)
    if str(given) in shipped():
        others = [str(file.parent) for file in sorted(Path("studies").glob(f"*/{STUDY}"))]
        raise StudyStopped(f"{given} was not run here: there is no {folder / STUDY}. Run it with stimloop study "
                           f"{given}, or name the folder of its cells: {', '.join(others) or 'here is none'}")
    return None


def shipped() -> list[str]:
    """Names of the shipped studies."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def help_with(path: str, small: bool, retrain: bool, folder: str, stage: str, shard: tuple[int, int],
              allowed: Settings, say: Say) -> None:
    """Share the work on one stage, in a process of its own."""
    signal.signal(STOP, signal.default_int_handler)  # between cells; within one, its session answers
    try:
        study = Study(Path(path), small=small, folder=Path(folder), allowed=allowed, retrain=retrain)
        work_on(study.cells(study.description.stages[stage]), shard, say)
    except KeyboardInterrupt:  # what it ran is saved, and its claim released
        for late in (signal.SIGINT, STOP):  # what still comes, on its way out, has nothing left to stop
            signal.signal(late, signal.SIG_IGN)


def interrupt(helpers: list[multiprocessing.process.BaseProcess]) -> None:
    """Ask helpers to stop; one that has heard of it before, and still fits a model, say, goes on to save."""
    for helper in helpers:
        if helper.is_alive() and helper.pid is not None:
            os.kill(helper.pid, STOP)


def run_cell(told: Told, stage: str, identity: str) -> Report:
    """Run one cell, in a process of a fleet on whatever machine."""
    told.enter()
    study = load(told.study, small=told.small, folder=told.folder, allowed=told.allowed, retrain=told.retrain)
    cells = study.cells(study.description.stages[stage])
    return told.report(run_free(cells, told.cell(cells, stage, identity), say_nothing))
