"""The side of a study that watches a fleet: what it starts, what it makes of what is lost, whom it does not trust.

The fleet here is a stand-in that does its work in this very process; a real one is in `tests/crash/test_study_on_ray`.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from stimloop.assemblies import study as studies
from stimloop.assemblies.settings import Settings
from stimloop.assemblies.studying import claims, hosting
from stimloop.assemblies.studying.hosting import HostingError, Told
from stimloop.loops import fleet as fleets
from stimloop.loops.errors import RunError
from stimloop.loops.fleet import Ended, Fleet

WALK = """
name: walk
until: 20 steps
components:
  body:    {type: bodies.point_mass, params: {max_steps: 5}, inputs: [brain.action]}
  brain:   {type: basics.noise}
  metrics: {type: learners.metrics, inputs: [body.status, body.reward]}
"""
WALKS = """
name: walks
stages:
  walk: {assembly: walk.yaml, sweep: {seed: [0, 1, 2]}}
measure: {return: metrics.return}
"""

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="without Ray that is said first")


class HereFleet(Fleet):
    """Does its work in this process, one piece at each look; `accidents` come instead of the first pieces."""

    def __init__(self, *accidents: Callable[[str, Callable[[], Any]], Ended], size: int = 2) -> None:
        self.accidents, self.size, self.running, self.interrupted = list(accidents), size, {}, False
        self.started: list[str] = []
        self.most = 0

    def connect(self) -> bool:
        return False

    def start(self, name: str, work: Callable[..., Any], *args: Any) -> None:
        self.started.append(name)
        self.running[name] = lambda: work(*args)
        self.most = max(self.most, len(self.running))

    def ended(self, seconds: float) -> list[Ended]:
        if not self.running:
            time.sleep(seconds)
            return []
        name = next(iter(self.running))
        work = self.running.pop(name)
        if self.interrupted:
            return [Ended(name, cancelled=True)]
        return [self.accidents.pop(0)(name, work) if self.accidents else Ended(name, work())]

    def interrupt(self) -> None:
        self.interrupted = True


def lost(name: str, work: Callable[[], Any]) -> Ended:
    return Ended(name, lost="killed")


@pytest.fixture
def walks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> studies.Study:
    (tmp_path / "walk.yaml").write_text(WALK)
    (tmp_path / "walks.yaml").write_text(WALKS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hosting, "POLL_SECONDS", 0.01)
    return studies.load("walks.yaml")


def test_every_cell_is_run_once_as_many_at_once_as_there_is_room_for(walks: studies.Study, tmp_path: Path) -> None:
    lines: list[str] = []
    fleet = HereFleet()
    found = walks.run(fleet=fleet, say=lines.append)
    assert len(fleet.started) == len(set(fleet.started)) == 3
    assert fleet.most == 2
    assert [line.rpartition(" in ")[0] or line for line in lines] == [
        text for i in range(3) for text in (f"walk:base at seed={i}: begins ({i + 1}/3)",
                                            f"walk:base at seed={i}: finished")]
    alone = studies.load("walks.yaml", folder=tmp_path / "alone").run()
    assert found == alone
    again = HereFleet()
    walks.run(fleet=again)
    assert again.started == [], "nothing is left, so that no cluster is even started"


class EarlyFleet(HereFleet):
    """Has done its work before it is looked at, so that folders tell of an end before the fleet does."""

    def start(self, name: str, work: Callable[..., Any], *args: Any) -> None:
        answer = work(*args)
        super().start(name, lambda: answer)


def test_every_end_is_told_in_its_turn_also_where_the_folder_shows_it_first(walks: studies.Study) -> None:
    lines: list[str] = []
    fleet = EarlyFleet(size=3)
    walks.run(fleet=fleet, say=lines.append)
    assert not fleet.running
    told = [(line.split(":")[1].split("=")[1], "begins" if "begins" in line else "ends", line[line.rindex("("):])
            for line in lines]
    assert told == [(str(i), what, f"({i + 1}/3)") for i in range(3) for what in ("begins", "ends")]


def test_a_process_that_is_lost_behind_its_work_has_ended_its_cell(walks: studies.Study) -> None:
    lines: list[str] = []
    walks.run(fleet=EarlyFleet(lost), say=lines.append)
    assert [line for line in lines if "lost" in line] == []
    assert len([line for line in lines if "finished" in line]) == 3


def test_its_own_share_comes_first(walks: studies.Study) -> None:
    fleet = HereFleet(size=1)
    walks.run(fleet=fleet, shard=(1, 2))
    stage = walks.description.stages["walk"]
    assert fleet.started == [walks.cells(stage).cells[i].identity for i in (1, 0, 2)]


def test_a_lost_process_loses_nothing(walks: studies.Study) -> None:
    lines: list[str] = []
    fleet = HereFleet(lost, lost, size=1)
    assert len(walks.run(fleet=fleet, say=lines.append).rows) == 1
    assert len(fleet.started) == 5
    assert lines[0] == "walk:base at seed=0: lost its process, and goes on from its last checkpoint: killed"


def test_a_cell_that_always_loses_its_process_fails_after_the_others_have_run(walks: studies.Study) -> None:
    first: list[str] = []

    def lost_if_first(name: str, work: Callable[[], Any]) -> Ended:
        first.append(name)
        return Ended(name, lost="no memory") if name == first[0] else Ended(name, work())

    with pytest.raises(studies.StudyStopped, match=r"lost 3 times without a new checkpoint between: no memory\. Look"):
        walks.run(fleet=HereFleet(*[lost_if_first] * 9))
    assert first.count(first[0]) == hosting.LOSSES
    assert sorted(row["state"] for row in walks.status()) == ["failed", "finished", "finished"]


def test_a_cell_that_gets_further_each_time_may_lose_its_process_often(walks: studies.Study) -> None:
    path = walks.cells(walks.description.stages["walk"])
    cell = path.path(path.cells[0])

    def lost_further_on(name: str, work: Callable[[], Any]) -> Ended:
        (cell / "run" / "walk" / "x.zarr" / "checkpoints" / f"{fleet.started.count(name)}").mkdir(parents=True)
        return lost(name, work)

    fleet = HereFleet(*[lost_further_on] * 5, size=1)
    walks.run(fleet=fleet)
    assert len(fleet.started) == 8


HOLD = "import sys; from pathlib import Path; from stimloop.assemblies.studying import claims; " \
       "claim = claims.take(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"


def test_what_another_process_runs_is_left_to_it(walks: studies.Study) -> None:
    cells = walks.cells(walks.description.stages["walk"])
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(cells.path(cells.cells[0]))], text=True,
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"

    def last_and_let_go(name: str, work: Callable[[], Any]) -> Ended:
        assert cells.cells[0].identity not in fleet.started
        answer = work()
        holder.kill()
        holder.communicate()
        return Ended(name, answer)

    fleet = HereFleet(lambda name, work: Ended(name, work()), last_and_let_go)
    walks.run(fleet=fleet)
    assert fleet.started[-1] == cells.cells[0].identity, "taken over when its process was gone"


def test_a_process_that_comes_too_late_runs_nothing(walks: studies.Study) -> None:
    cells = walks.cells(walks.description.stages["walk"])

    def meanwhile(name: str, work: Callable[[], Any]) -> Ended:
        with claims.take(cells.path(cells.cells[0])):
            held = work()
        assert held.ended == "held"
        return Ended(name, held)

    def twice(name: str, work: Callable[[], Any]) -> Ended:
        assert work().ended == "finished"
        over = work()
        assert over.ended == "over"
        return Ended(name, over)

    fleet = HereFleet(meanwhile, twice, size=1)
    assert len(walks.run(fleet=fleet).rows) == 1
    assert len(fleet.started) == 4


def test_an_interruption_lets_all_stop_and_is_told(walks: studies.Study) -> None:
    def interrupted(name: str, work: Callable[[], Any]) -> Ended:
        raise KeyboardInterrupt

    fleet = HereFleet(interrupted)
    with pytest.raises(KeyboardInterrupt, match="interrupted, and saved"):
        walks.run(fleet=fleet)
    assert fleet.interrupted
    assert not fleet.running


def test_an_error_of_a_process_is_raised_here_and_lets_the_others_stop(walks: studies.Study) -> None:
    fleet = HereFleet(lambda name, work: Ended(name, error=RunError("the disk is full")))
    with pytest.raises(RunError, match="the disk is full"):
        walks.run(fleet=fleet)
    assert fleet.interrupted
    assert not fleet.running


def test_signals_stop_as_ctrl_c_does_and_are_what_they_were_after(walks: studies.Study) -> None:
    import signal

    def asked(name: str, work: Callable[[], Any]) -> Ended:
        os.kill(os.getpid(), signal.SIGUSR1)
        time.sleep(5)
        raise AssertionError("the signal was not heard")

    before = signal.getsignal(signal.SIGUSR1)
    with pytest.raises(KeyboardInterrupt, match="saved"):
        walks.run(fleet=HereFleet(asked))
    assert signal.getsignal(signal.SIGUSR1) is before


def test_a_folder_that_is_not_shared_is_told(walks: studies.Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosting, "SEEN_WITHIN", 0.05)

    def elsewhere(name: str, work: Callable[[], Any]) -> Ended:
        return Ended(name, hosting.Report("finished", "node7"))

    with pytest.raises(HostingError, match=r"has ended on node7, but nothing of it is to be seen in .*--out"):
        walks.run(fleet=HereFleet(elsewhere))


def test_other_code_elsewhere_is_told(walks: studies.Study) -> None:
    def other_code(name: str, work: Callable[[], Any]) -> Ended:
        answer = work()
        cells = walks.cells(walks.description.stages["walk"])
        done = cells.folder / name / "done.json"
        done.write_text(json.dumps({**json.loads(done.read_text()), "code": {"brain": "another"}}))
        return Ended(name, answer)

    with pytest.raises(HostingError, match="code of its components is another than here"):
        walks.run(fleet=HereFleet(other_code))


def test_a_machine_without_the_folder_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for told in (Told("walks.yaml", False, False, tmp_path / "cells", Settings()),
                 Told("walks.yaml", False, False, tmp_path, Settings(), tmp_path / "not_here")):
        with pytest.raises(HostingError, match="does not see"):
            told.enter()


def test_a_machine_with_another_file_of_the_study_says_so(walks: studies.Study, tmp_path: Path) -> None:
    def changed(name: str, work: Callable[[], Any]) -> Ended:
        (tmp_path / "walk.yaml").write_text(WALK.replace("20 steps", "30 steps"))
        return Ended(name, work())

    with pytest.raises(HostingError, match="otherwise than the machine where the command was given"):
        walks.run(fleet=HereFleet(changed))


def command(*words: str, code: int = 1) -> str:
    done = subprocess.run([sys.executable, "-m", "stimloop.assemblies.cli", "study", "walks.yaml", *words],
                          capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    return done.stderr


def test_the_command_line_says_what_goes_together(walks: studies.Study) -> None:
    assert "'slurm' hosts no studies" in command("--on", "slurm")
    assert "Write --on ray --address auto" in command("--address", "auto")


@needs_ray
@pytest.mark.parametrize("address", ["head", ":6379", "head:", "head:0", "head:99999", "head:a", "ray://head:10001"])
def test_an_address_is_a_host_and_a_port(address: str) -> None:
    with pytest.raises(RunError, match="Write host:port"):
        Fleet(address)


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleets, "find_spec", lambda name: None)
    with pytest.raises(RunError, match=r'pip install "stimloop\[cluster\]"'):
        Fleet()


@needs_ray
def test_a_cluster_that_is_not_there_is_told_at_once() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"  # bound, but nobody listens
        code = f"from stimloop.loops.fleet import Fleet\nFleet({address!r}).connect()"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert f"the Ray cluster {address} cannot be joined" in done.stderr
    assert "ray start --head" in done.stderr
