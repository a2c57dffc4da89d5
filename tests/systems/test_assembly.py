"""Assemblies: from YAML and Python to the same thing, and on to a loop."""

import inspect
import re

import numpy as np
import pytest

import stimloop as sl
from stimloop.assemblies.checking import check
from stimloop.assemblies.loading import shipped
from stimloop.assemblies.settings import Settings
from stimloop.loops.component import Component
from stimloop.loops.errors import AssemblyError
from stimloop.loops.port import Port

TEXT = """
name: t
until: 2 s
components:
  body: {type: bodies.point_mass, inputs: [brain.action]}
  brain: {type: brains.mlp, params: {hidden: [8]}, inputs: [body.observation, body.status]}
  metrics: {type: learners.metrics, inputs: [body.status, body.reward, {solved: {like: metrics.solved}}]}
variants:
  late: {brain.inputs.observation.delay: 40 ms, brain.inputs.status.delay: 40 ms}
  silent: {brain: {type: basics.silence}}
  alone: {metrics: null}
small: {until: 1 s, metrics.params.window: 2}
sweep: {seed: [0, 1]}
"""
GOOD = TEXT.replace("{solved: {like: metrics.solved}}", "body.solved")


class Doubler(Component):
    """Publishes twice what it hears."""

    def __init__(self, factor: float = 2.0):
        self.factor = factor
        self.inputs = {"observation": Port("anything", ("n",), wakes=True)}
        self.outputs = {"action": Port("twice", (2,), low=-1, high=1)}

    @classmethod
    def example(cls):
        return cls()

    def step(self, now, inputs):
        return {"action": np.clip(self.factor * inputs["observation"][:, :2], -1, 1).astype(np.float32)}


@pytest.fixture
def a():
    return sl.Assembly.from_yaml(GOOD)


def test_python_and_yaml_are_the_same(a):
    b = (sl.Assembly("t", until="2 s")
         .add("body", "bodies.point_mass", inputs=["brain.action"])
         .add("brain", "brains.mlp", hidden=[8], inputs={"observation": "body.observation", "status": "body.status"})
         .add("metrics", "learners.metrics",
              inputs=["body.status", {"reward": {"from": "body.reward"}}, "body.solved"]))
    assert b.hash == a.hash
    assert sl.diff(a.resolve(), b.resolve()) == {}
    assert sl.Assembly.from_yaml(a.to_yaml()) == a
    assert hash(sl.Assembly.from_yaml(a.to_yaml())) == hash(a)


def test_it_is_frozen_and_calls_return_new_ones(a):
    before = a.to_yaml()
    with pytest.raises(AttributeError, match="frozen"):
        a.name = "x"
    a.document()["components"].clear()
    a.set("brain.params.hidden", [4]).swap("body", "bodies.cartpole").remove("metrics").variant("late")
    assert a.to_yaml() == before


def test_hash_says_what_can_change_a_result(a):
    assert a.set("about", "words").hash == a.hash
    assert a.set("checkpoint.every", "1 min wall").hash == a.hash
    assert a.set("brain.params.hidden", [9]).hash != a.hash
    assert a.set("seed", 1).hash != a.hash
    assert a.variant("late").hash != a.hash
    like = a.set("metrics.inputs.status", {"like": "brain.status"})
    assert like.hash == a.hash, "a wire is what it says, however it is written"


def test_precedence(a):
    made = a.resolve(given={"until": "9 s", "seed": 5}, sweep={"seed": 6, "until": "8 s"}, variant="late", small=True)
    assert (made.seed, made.until) == (6, "1 s")
    made = a.resolve(small=True, set={"until": "3 s"})
    assert made.until == "3 s"
    assert made.variants == ()
    swept = a.resolve(sweep={"brain.params.hidden": [5]}, variant="silent")
    assert swept.get("brain.params") == {}, "the variant is stronger than the sweep"


def test_variant_and_small_in_their_order(a):
    assert a.variant("late").small().until == "1 s"
    with pytest.raises(AssemblyError, match="before small"):
        a.small().variant("late")
    with pytest.raises(AssemblyError, match="choose the variant once"):
        a.variant("late").variant("silent")
    with pytest.raises(AssemblyError, match="Did you mean"):
        a.variant("lat")
    alone = a.variant("alone").small()
    assert alone.until == "1 s"
    assert any("removed" in notice.what for notice in alone.notices)


def test_swap_keeps_inputs_and_says_what_it_drops(a):
    b = a.swap("brain", Doubler, factor=3)
    assert b.get("brain.inputs") == {"observation": {"from": "body.observation"}}
    assert [notice.where for notice in b.notices] == ["brain"]
    with b.build() as loop:
        loop.run("100 ms")
        expected = np.clip(3 * loop.peek("body.observation")[:, :2], -1, 1)
        np.testing.assert_allclose(loop.peek("brain.action"), expected, rtol=1e-6)


def test_a_class_outside_is_loaded_from_yaml_only_if_allowed(tmp_path, monkeypatch):
    (tmp_path / "outside_brain.py").write_text(
        "import stimloop as sl\nclass Quiet(sl.Component):\n    def __init__(self):\n        self.inputs = {}\n"
        "        self.outputs = {'value': sl.Port('one', ())}\n        self.period = 10**7\n"
        "    def step(self, now, inputs):\n        import numpy as np\n"
        "        return {'value': np.ones(self.lanes.count, np.float32)}\n")
    text = "{name: t, components: {x: {type: 'outside_brain:Quiet'}}}"
    monkeypatch.chdir(tmp_path)
    a = sl.Assembly.from_yaml(text)
    with pytest.raises(AssemblyError, match="--allow outside_brain"):
        a.build()
    with a.build(Settings(allow=("outside_brain",), folder=tmp_path)) as loop:
        loop.run("1 s")
        assert loop.peek("x.value") == [1.0]
    (tmp_path / "stimloop.toml").write_text('allow = ["outside_brain"]\n')
    a.build().close()
    nested = sl.Assembly.from_yaml(text.replace("outside_brain:Quiet", "outside_brain:sl.loops.errors.os.system"))
    with pytest.raises(AssemblyError):
        nested.build()


def test_like_follows_the_wire_with_every_override(a):
    b = a.set("metrics.inputs.status", {"like": "brain.status"}).variant("late")
    assert b.wires("metrics")["status"] == {"from": "body.status", "delay": "40 ms"}
    source = b.system().parts["metrics"].inputs["status"]
    assert (source.component, source.port, source.delay) == ("body", "status", 40_000_000)


def test_all_problems_at_once_with_places(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text("""name: bad
components:
  body: {type: bodies.pointmass, inputs: [brain.action]}
  brain:
    type: brains.mlp
    params: {hiden: [8], activation: 3}
    inputs: [body.observation, bdy.status]
  judge: {type: learners.metrics, inputs: [{rewrad: brain.action}]}
""")
    with pytest.raises(AssemblyError) as caught:
        sl.load(path).build()
    text = str(caught.value)
    for words in ("no component 'bodies.pointmass'", 'Did you mean "bodies.point_mass"?', "bad.yaml:3",
                  "no parameter 'hiden'", 'Did you mean "hidden"?', "bad.yaml:6", "should be 'relu' or 'tanh'",
                  "no component 'bdy'", "no input 'rewrad'", "bad.yaml:8"):
        assert words in text, (words, text)
    assert text.index("bodies.pointmass") < text.index("hiden") < text.index("rewrad"), "in the order of the page"
    assert "cannot be made" not in text


@pytest.mark.parametrize(("change", "words"), [
    ("until: soon", "not a stop"),
    ("seed: -1", "whole number"),
    ("lanes: 0", "whole number"),
    ("lanes: 1.5", "whole number"),
    ("name: ../x", "not a name"),
    ("nme: x", 'Did you mean "name"?'),
    ("components: [1]", "mapping of names"),
    ("components: {seed: {type: x.y}}", "cannot name a component"),
    ("components: {a: {typ: x.y}}", 'Did you mean "type"'),
    ("components: {a: {params: {}}}", "has no type"),
    ("components: {a: {type: x.y, inputs: [b]}}", "is not a wire"),
    ("components: {a: {type: x.y, inputs: [b.c, d.c]}}", "wired twice"),
    ("components: {a: {type: x.y, inputs: {c: {from: b.c, delay: 1 ms}}}}", ""),
    ("components: {a: {type: x.y, inputs: {c: {from: b.c, delay: 1 mm}}}}", "no unit of time"),
    ("components: {a: {type: x.y, inputs: {c: {from: b.c, reads: then}}}}", "no way to read"),
    ("components: {a: {type: x.y, uses: {p: [1]}}}", "not the name of a component"),
    ("components: {a: {type: x.y, uses: [p]}}", "not a mapping of references"),
    ("record: 3", "something to record"),
    ("checkpoint: {every: often}", "not a time"),
    ("evaluate: {test: {episodes: 3}}", "needs `every`"),
    ("variants: {base: {}}", "cannot name a variant"),
    ("variants: {a/b: {}}", "Use letters, digits, _ and -"),
    ("variants: {x: {nobody.params.y: 1}}", "no component or entry"),
    ("small: {nobody.params.y: 1}", "no component or entry"),
    ("sweep: {seed: 3}", "lists of values"),
])
def test_form(change, words):
    base = {"name": "name: t", "components": "components: {b: {type: basics.silence}}"}
    base[change.partition(":")[0]] = change
    if not words:
        sl.Assembly.from_yaml("\n".join(base.values()))
        return
    with pytest.raises(AssemblyError, match=words):
        sl.Assembly.from_yaml("\n".join(base.values()))


def test_no_file_outside(tmp_path, monkeypatch):
    inside = tmp_path / "work"
    inside.mkdir()
    (tmp_path / "secret.safetensors").write_bytes(b"x")
    (inside / "link.safetensors").symlink_to(tmp_path / "secret.safetensors")
    monkeypatch.chdir(inside)

    def problems(weights):
        text = f"{{name: t, components: {{b: {{type: brains.mlp, params: {{weights: '{weights}'}}}}}}}}"
        return [p.what for p in check(sl.Assembly.from_yaml(text, folder=inside)).errors if "weights" in p.where]

    for weights in ("../secret.safetensors", str(tmp_path / "secret.safetensors"), "link.safetensors",
                    "a/../../x"):
        assert any("leads outside" in what for what in problems(weights)), weights
    assert any("no file" in what for what in problems("other.safetensors"))
    assert any("no shipped weights" in what for what in problems("hand_tuned_elbw"))
    (inside / "stimloop.toml").write_text(f'[roots]\nold = "{tmp_path}"\n')
    assert not problems("old:secret.safetensors")
    assert any("leads outside" in what for what in problems("old:../x"))
    env = "{name: t, components: {b: {type: bodies.gymnasium_env, params: {env: 'os:Env-v0'}}}}"
    assert any("not allowed" in p.what for p in check(sl.Assembly.from_yaml(env)).errors)


def test_parameters_that_yaml_cannot_hold():
    with pytest.raises(AssemblyError, match="cannot be written in YAML"):
        sl.Assembly("t").add("x", Doubler, factor=lambda: 3)
    a = sl.Assembly("t").add("x", Doubler, factor=np.float64(3)).add("y", "basics.constant", value=np.ones(2))
    assert a.get("x.params.factor") == 3.0
    assert a.get("y.params.value") == [1.0, 1.0]


def test_evaluation_leaves_out_what_only_the_left_out_used():
    text = """
name: t
components:
  body: {type: bodies.point_mass, inputs: [brain.action]}
  brain: {type: brains.mlp, params: {hidden: [8]}, inputs: [body.observation, body.status]}
  judge: {type: learners.metrics, inputs: [body.status, body.reward], uses: {world: world, policy: brain}}
  world: {type: bodies.point_mass}
evaluate: {test: {every: 250 steps, episodes: 3, seeds: 7, without: [judge], set: {brain.params.explore: true}}}
"""
    plan = sl.Assembly.from_yaml(text).system().evaluations["test"]
    assert set(plan.system.parts) == {"body", "brain"}
    assert (plan.every, plan.episodes, plan.seeds, plan.system.lanes) == ((250, "steps"), 3, 7, 3)
    assert plan.system.parts["brain"].create().explore
    wrong = sl.Assembly.from_yaml(text.replace("without: [judge]", "without: [juge]"))
    with pytest.raises(AssemblyError, match="to leave out"):
        wrong.system()


def test_evaluation_does_not_change_the_trace(a):
    b = a.resolve()
    c = b.set("evaluate.test", {"every": "20 steps", "episodes": 2})
    with b.build() as one, c.build() as two:
        for loop in (one, two):
            loop.run("1 s")
        assert len(two.evaluations["test"].rows) > 2
        np.testing.assert_array_equal(one.peek("body.observation"), two.peek("body.observation"))


def test_run_resume_and_compare(a, tmp_path):
    from stimloop.assemblies import resuming
    from stimloop.loops.storage.runs import first_difference, log_hash
    from stimloop.loops.storage.runs import open as open_run

    whole = a.run("40 steps", folder=tmp_path / "a")
    half = a.run("17 steps", folder=tmp_path / "b")
    outcome = resuming.resume(half.path, "40 steps")
    assert outcome.reason == "finished"
    again = open_run(half.path)
    assert log_hash(whole) == log_hash(again)
    assert first_difference(whole, again) is None
    assert again.attributes["hash"] == a.hash
    assert again.attributes["variant"] == "base"
    assert set(a.components) == set(again.attributes["assembly"]["components"])
    rows = resuming.evaluate(again.path, changes={"evaluate.test": {"every": "1 episode", "episodes": 10}})
    assert rows["test"]["return"].shape == (10,)


def test_record_list_none_and_unknown(a, tmp_path):
    assert set(a.set("record", ["brain", "body.reward"]).run("100 ms", folder=tmp_path).streams) == {
        "brain.action", "brain.rates", "brain.log_prob", "body.reward",
        *(f"metrics.{k}" for k in ("episodes", "steps", "return", "length", "success", "solved_steps"))}
    assert all(key.startswith("metrics.") for key in a.set("record", "none").run("100 ms", folder=tmp_path).streams)
    with pytest.raises(AssemblyError, match="to record"):
        a.set("record", ["brain.rate"]).run("100 ms", folder=tmp_path)


def test_large_recordings_keep_what_matters(a):
    from stimloop.assemblies import recording
    from stimloop.loops.errors import Problems
    from stimloop.loops.until import Until

    with a.set("lanes", 64).build() as loop:
        problems = Problems()
        kept = {s.key for s in recording.streams(loop, None, Until.parse("100 h"), problems)}
        assert "body.reward" in kept
        assert "body.observation" not in kept
        assert "body.observation" in problems.notices[0].fix
        assert len(recording.streams(loop, "all", Until.parse("100 h"), problems)) == len(loop.cells)
        small = recording.estimate(loop, Until.parse("1 s"))
        assert small["body.observation"] == pytest.approx(51 * (8 + 64 * 6 * 4), rel=0.05)
        assert recording.estimate(loop, Until.parse("6400 steps"))["body.reward"] == pytest.approx(101 * 264, rel=0.05)


def test_checkpoints_are_kept_as_asked(a, tmp_path):
    run = a.set("checkpoint", {"every": "10 steps", "keep": 2}).run("65 steps", folder=tmp_path)
    assert len([p for p in (run.path / "checkpoints").iterdir() if not p.name.startswith(".")]) == 2


def test_nothing_says_when_to_stop(a, tmp_path):
    with pytest.raises(AssemblyError, match="when to stop"):
        a.set("until", None).run(folder=tmp_path)


@pytest.mark.parametrize("name", shipped())
def test_nothing_is_wrong_with_shipped_files_and_their_variants(name, monkeypatch):
    """They are run where their traces are golden."""
    monkeypatch.setenv("MUJOCO_GL", "disable")
    a = sl.load(name)
    assert a.get("about")
    for variant in ("base", *a.variants):
        problems = check(a.resolve(variant=variant, small=True))
        assert not problems.errors, (variant, problems.errors)


def test_load_says_what_is_there():
    with pytest.raises(AssemblyError, match='Did you mean "pendulum_first"'):
        sl.load("pendulum_frist")
    with pytest.raises(AssemblyError, match="cannot be read"):
        sl.load("nowhere.yaml")


@pytest.mark.parametrize("call", [sl.load, sl.Assembly.run, sl.Assembly.as_env, sl.Assembly.build])
def test_help_shows_every_option_and_what_it_means(call):
    signature = inspect.signature(call)
    text = inspect.getdoc(call)
    for name, parameter in signature.parameters.items():
        assert parameter.kind is not inspect.Parameter.VAR_KEYWORD, name
        if name != "self":
            assert re.search(rf"^    {name}: ", text, re.MULTILINE), f"{name} is not explained"


def test_a_folder_may_be_a_text(tmp_path):
    run = sl.load("point_mass").small().run(folder=str(tmp_path))
    assert run.path.is_relative_to(tmp_path)


def test_what_is_nested_without_end_is_told():
    deep, ring = {}, {}
    inner = deep
    for _ in range(5000):
        inner["a"] = inner = {}
    ring["self"] = ring
    for value in (deep, ring, [[ring]]):
        with pytest.raises(AssemblyError, match="nested more than 20 deep, or holds itself"):
            sl.load("point_mass").set("brain.params.hidden", value)
