"""Model-based policy optimisation: the policy practises in short lives branched from real ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from ...loops.bounds import Amount, Count, NonNegative, Positive, Share
from ..parts.assignment import Assign
from ..parts.devices import Device
from ..parts.hidden_weights import Cost
from ..parts.model_learner import ModelLearner
from ..parts.transitions import Unfinished


class Mbpo(ModelLearner):
    """Makes a policy better from few real steps, by letting it practise in a model that is learned beside it.

    Janner et al. 2019 (arXiv:1906.08253, algorithm 2): every `model_train_freq` steps the model is fitted to all real
    steps and the policy lives on from some of them, for a few steps, in the model; after each real step soft
    actor-critic (`parts/soft_actor_critic.py`) learns from a mix of real and imagined ones. Schedules are written
    [first epoch, last epoch, value at the first, value at the last]; epochs are counted from `learning_starts`.

    Args:
        termination: when an imagined episode is over: a name of `parts/terminations.py`, or `my_module:function`.
        learning_rate: of policy, critic and entropy weight.
        buffer_size: number of real steps that are remembered.
        learning_starts: real steps before anything is learned.
        min_buffer: real steps that must be remembered before the first update.
        epoch_length: real steps of an epoch.
        batch_size: rows of a minibatch, real and imagined ones together.
        tau: share by which the target critic follows at each update of it.
        gamma: discount from one observation to the next.
        train_freq: real steps (of all lanes together) between two times of updating.
        gradient_steps: updates each time.
        ent_coef: weight of the entropy; `auto` learns it.
        target_entropy: entropy that a learned weight aims at; `auto` is minus the number of actions.
        target_update_interval: updates between two of the target critic.
        reward_scale: rewards count so many times.
        model_train_freq: real steps between two times of fitting and imagining.
        model_train_end_epoch: epoch from which the model is not fitted any more; left out, it always is.
        max_model_t: seconds that fitting may take each time; left out, as long as it takes. No two such runs are alike.
        rollout_batch_size: starts of imagined lives each time.
        rollout_schedule: length of imagined lives, in steps.
        ratio_schedule: share of real rows in a minibatch; where it is 1, nothing is fitted or imagined.
        model_retain_epochs: epochs whose imagined steps are remembered; those of one refresh always are.
        assign: how imagined steps fall to the model's elites: each by chance (`random`), or all equally often
            (`balanced`).
        insert: are real steps remembered at each `step`, or only at the `episode_end`?
        unfinished: what to do with a step whose successor nobody saw: `error`, or `drop` it.
        cost: how long one time of learning takes before its weights are in force: 0, a duration, or `measured`.
        threads: threads of torch; more than one is seldom worth it beside physics.
        device: where it learns and imagines: `cpu`, or `cuda`, a GPU, where then lie both buffers, optimisers, and
            copies of the networks and of the model. Policy and model act and predict on the processor, with what was
            learned copied to them each time.
    """

    def __init__(self, *, termination: str, learning_rate: Positive = 3e-4, buffer_size: Count = 1_000_000,
                 learning_starts: Amount = 5000, min_buffer: Amount = 1000, epoch_length: Count = 1000,
                 batch_size: Count = 256, tau: Share = 0.005, gamma: Share = 0.99, train_freq: Count = 1,
                 gradient_steps: Count = 20, ent_coef: Literal["auto"] | NonNegative = "auto",
                 target_entropy: Literal["auto"] | float = "auto", target_update_interval: Count = 1,
                 reward_scale: Positive = 1.0, model_train_freq: Count = 250,
                 model_train_end_epoch: Amount | None = None, max_model_t: Positive | None = None,
                 rollout_batch_size: Count = 100_000, rollout_schedule: list[float] = [20, 150, 1, 1],  # noqa: B006
                 ratio_schedule: list[float] = [0, 1, 0.05, 0.05],  # noqa: B006
                 model_retain_epochs: Count = 1, assign: Assign = "random",
                 insert: Literal["step", "episode_end"] = "step", unfinished: Unfinished = "error", cost: Cost = 0,
                 threads: Count = 1, device: Device = "cpu"
                 ) -> None:
        super().__init__(locals())

    @classmethod
    def example(cls) -> Mbpo:
        return cls(termination="never", buffer_size=100, learning_starts=6, min_buffer=6, epoch_length=10,
                   batch_size=8, gradient_steps=2, model_train_freq=5, rollout_batch_size=6)

    def imagine(self, start: Any, length: int) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """Let the policy act from real observations."""
        from ..parts.imagination import branch

        for rows in branch(self.world, self.actor, start, length):
            yield rows, {}
