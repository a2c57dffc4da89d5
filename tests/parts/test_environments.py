"""What making an environment of Gymnasium's registry says beside it."""

from pathlib import Path

import gymnasium
import pytest

pytest.importorskip("mujoco", reason="the environments of MuJoCo are not installed")

import mujoco

from stimloop.components.parts import environments


def test_advice_to_the_authors_of_a_model_is_not_printed_and_not_logged(capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    environments.make("HalfCheetah-v5", {}, None).close()
    assert capfd.readouterr() == ("", "")
    assert not list(Path().iterdir())
    assert mujoco.get_mju_user_warning() is None


def test_other_warnings_of_a_compiler_are_told(monkeypatch):
    def make(env, **params):
        mujoco.get_mju_user_warning()("mass is odd")

    monkeypatch.setattr(gymnasium, "make", make)
    with pytest.warns(UserWarning, match="mass is odd"):
        environments.make("HalfCheetah-v5", {}, None)
