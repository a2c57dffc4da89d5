"""A small study of two stages, written to a folder of its own."""

import pytest

TRAIN = """
name: train
until: 90 steps
record: [learner]
components:
  body:    {type: bodies.point_mass, params: {max_steps: 15}, inputs: [brain.action]}
  brain:   {type: brains.mlp, params: {hidden: [8, 8], explore: true}, inputs: [body.observation, body.status]}
  critic:  {type: critics.q_ensemble, params: {hidden: [8, 8]}, inputs: [body.observation, brain.action]}
  learner: {type: learners.sac, params: {batch_size: 16, learning_starts: 20}, uses: {policy: brain, value: critic},
            inputs: [body.observation, body.reward, body.status, brain.action]}
evaluate:
  test: {every: 30 steps, episodes: 2, without: [learner, critic], set: {brain.params.explore: false}}
checkpoint: {every: 20 steps}
"""
ACT = """
name: act
until: 40 steps
record: [metrics]
components:
  body:    {type: bodies.point_mass, params: {max_steps: 15}, inputs: [brain.action]}
  brain:   {type: brains.mlp, params: {hidden: [8, 8]}, inputs: [body.observation, body.status]}
  metrics: {type: learners.metrics, inputs: [body.status, body.reward]}
evaluate:
  test: {every: 20 steps, episodes: 3}
variants:
  still: {brain: {type: basics.silence}}
"""
STUDY = """
name: tiny
stages:
  train: {assembly: train.yaml, sweep: {seed: [0, 1]}, keep: {trained: {from: brain, at: best test.return}}}
  act:   {assembly: act.yaml, given: {brain.params.weights: trained}, variants: [base, still], sweep: {seed: [0, 1]}}
measure:
  return: test.return
  gain: test.return - still.test.return
  episodes: metrics.episodes
  learned: train:base.test.return
expect:
  - {measure: episodes, at_least: 2, in: 2 of 2}
  - {measure: gain, variant: still, at_most: 0}
  - {measure: return, after: 20 steps, at_most: 0}
  - {measure: return, above: still}
"""


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """The path of a study of six cells."""
    pytest.importorskip("torch", reason="its first stage learns")
    for name, text in (("train.yaml", TRAIN), ("act.yaml", ACT), ("tiny.yaml", STUDY)):
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "tiny.yaml"
