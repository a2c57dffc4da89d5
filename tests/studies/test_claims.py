"""Who holds a cell: one of many at once, nobody after a kill, and never two."""

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from stimloop.assemblies.studying import claims


def test_a_cell_is_held_by_one_and_free_again_after(tmp_path):
    first = claims.take(tmp_path / "cell")
    assert claims.take(tmp_path / "cell") is None
    assert claims.owner(tmp_path / "cell")["pid"] == os.getpid()
    first.release()
    first.release()
    assert claims.owner(tmp_path / "cell") is None
    with claims.take(tmp_path / "cell") as second:
        assert second.path.is_dir()
    assert not list((tmp_path / "cell").iterdir())


def test_of_many_at_once_one_wins(tmp_path):
    for round_number in range(20):
        with ThreadPoolExecutor(8) as pool:
            won = [claim for claim in pool.map(lambda _: claims.take(tmp_path / f"{round_number}"), range(8)) if claim]  # noqa: B023
        assert len(won) == 1
        won[0].release()


HOLD = "import sys, time; from pathlib import Path; from stimloop.assemblies.studying import claims; " \
       "claim = claims.take(Path(sys.argv[1])); print('held', flush=True); time.sleep(60)"


def test_what_a_killed_process_held_is_free(tmp_path):
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    assert claims.take(tmp_path) is None
    holder.kill()
    holder.wait()
    left = [(file.name, file.read_text()) for file in (tmp_path / "claim").iterdir()]
    for _ in range(50):
        with ThreadPoolExecutor(8) as pool:  # all see that it is lost, one gets it
            won = [claim for claim in pool.map(lambda _: claims.take(tmp_path), range(8)) if claim]
        assert len(won) == 1
        won[0].release()
        (tmp_path / "claim").mkdir()  # as the killed one left it
        for name, text in left:
            (tmp_path / "claim" / name).write_text(text)


@pytest.mark.parametrize(("silent", "free"), [(10, False), (200, True)])
def test_an_owner_elsewhere_is_lost_when_it_is_silent_for_long(tmp_path, silent, free):
    claim = tmp_path / "claim"
    claim.mkdir()
    (claim / "owner-x.json").write_text(json.dumps({"host": "another machine", "pid": 1, "since": 0}))
    os.utime(claim, (time.time() - silent,) * 2)
    taken = claims.take(tmp_path)
    assert (taken is not None) == free
    if taken:
        taken.release()


def test_an_owner_shows_signs_of_life(tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "HEARTBEAT", 0.02)
    with claims.take(tmp_path) as claim:
        os.utime(claim.path, (0, 0))
        for _ in range(100):
            time.sleep(0.02)
            if claim.path.stat().st_mtime > 0:
                break
        assert claim.path.stat().st_mtime > time.time() - 60
