"""Model predictive actor-critic: the policy practises in imagined lives that are better planned than its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from ...loops.bounds import Amount, Count, NonNegative, Positive, Share
from ...loops.component import Use
from ...loops.errors import AssemblyError, Problem
from ...loops.lanes import Lanes
from ...loops.seeds import derive
from ..parts.assignment import Assign
from ..parts.devices import Device
from ..parts.hidden_weights import Cost
from ..parts.model_learner import ModelLearner
from ..parts.roles import Value
from ..parts.transitions import Unfinished

Scaling = Literal["fixed", "deviation", "effective"]


class Mopac(ModelLearner):
    """Makes a policy better from few real steps: what it practises on are plans that are better than itself.

    Morgan et al. 2021 (arXiv:2103.13842): as `learners.mbpo`, but each imagined life begins with a plan. Noisy variants
    of what the policy would do are lived in the model, weighted by their rewards and a value at the horizon, and
    their average is lived once more and remembered (`parts/guidance.py` has the equations; every switch from
    `proposal` to `pessimism` is one difference between the code of its authors and the method as it is derived, which
    is the default). It explores as the policy does, without plans.

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
        planning: plan at all; else this is `learners.mbpo`.
        particles: noisy variants of each plan.
        noise: standard deviation of what is added to an action.
        bound: actions are cut at plus and minus this.
        scaling: how a variant's return becomes its weight: at a `fixed` temperature, at one in units of the
            `deviation` of a state's returns, or at the one at which a share of the variants is `effective`.
        temperature: of the first two.
        effective_share: of the third.
        iterations: how often a plan is improved.
        horizon_value: what judges the last observation: the learned value of states (`v`, which needs
            `uses: {state_value: ...}`), the critics (`q`), or nothing but rewards (`none`).
        proposal: where a plan begins: with what the policy does on average (`mean`), with one draw of it (`sample`), or
            with a draw of its own for each variant in each of its states (`particles`).
        fresh_noise: draw noise anew each time; else once an epoch.
        mask_terminated: nothing is gained, and nothing is remembered, after an episode is over.
        effective_noise: weigh what was really added after cutting, not what was drawn.
        last_action: where a value judges the horizon nothing has judged the last action: `policy` asks the policy for
            it, `zero` takes what noise left of it.
        closed_loop: while a plan is lived, what was added goes on top of what the policy does in the state reached.
        pessimism: how many standard deviations, over the elites, are taken off a variant's return.
        method: weigh all variants by what they gain (`mppi`), or go by the elites among them and narrow (`cem`).
        elites: cem: how many variants count.
        elite_weights: cem: alike, or by what they gain.
        min_noise: cem: least standard deviation after the first iteration.
        policy_sequences: draws of the policy that are tried beside the variants.
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

    uses = {**ModelLearner.uses, "state_value": Use(Value, changes=True, optional=True)}
    sizes = f"{ModelLearner.sizes}, or particles"
    measures = {
        **ModelLearner.measures,
        "v_loss": "half the mean squared error of the value of states",
        "v_mean": "mean value of the states in the minibatch",
        "effective_size": "variants of a plan that count, on average",
        "cut_share": "share of the variants' actions that were cut at the bound",
    }
    example_uses = {**ModelLearner.example_uses, "state_value": ("critics.value_mlp", {"hidden": [8, 8]})}

    def __init__(self, *, termination: str, learning_rate: Positive = 3e-4, buffer_size: Count = 1_000_000,
                 learning_starts: Amount = 5000, min_buffer: Amount = 1000, epoch_length: Count = 1000,
                 batch_size: Count = 256, tau: Share = 0.005, gamma: Share = 0.99, train_freq: Count = 1,
                 gradient_steps: Count = 20, ent_coef: Literal["auto"] | NonNegative = "auto",
                 target_entropy: Literal["auto"] | float = "auto", target_update_interval: Count = 1,
                 reward_scale: Positive = 1.0, model_train_freq: Count = 250,
                 model_train_end_epoch: Amount | None = None, max_model_t: Positive | None = None,
                 rollout_batch_size: Count = 10_000, rollout_schedule: list[float] = [0, 500, 5, 5],  # noqa: B006
                 ratio_schedule: list[float] = [0, 500, 0.8, 0.8],  # noqa: B006
                 model_retain_epochs: Count = 1, planning: bool = True, particles: Count = 100, noise: Positive = 0.5,
                 bound: Positive = 1.0, scaling: Scaling = "effective", temperature: Positive = 1.0,
                 effective_share: Share = 0.1, iterations: Count = 1,
                 horizon_value: Literal["v", "q", "none"] = "v",
                 proposal: Literal["mean", "sample", "particles"] = "mean", fresh_noise: bool = True,
                 mask_terminated: bool = True, effective_noise: bool = True,
                 last_action: Literal["policy", "zero"] = "policy", closed_loop: bool = False,
                 pessimism: NonNegative = 0.0, method: Literal["mppi", "cem"] = "mppi", elites: Count = 10,
                 elite_weights: Literal["equal", "weighed"] = "equal", min_noise: Positive = 0.05,
                 policy_sequences: Amount = 0, assign: Assign = "random",
                 insert: Literal["step", "episode_end"] = "step", unfinished: Unfinished = "error", cost: Cost = 0,
                 threads: Count = 1, device: Device = "cpu"
                 ) -> None:
        super().__init__(locals())
        self.planning, self.horizon_value = planning, horizon_value
        self.guidance: dict[str, Any] = {
            "particles": particles, "noise": noise, "bound": bound, "iterations": iterations, "proposal": proposal,
            "fresh_noise": fresh_noise, "mask_terminated": mask_terminated, "effective_noise": effective_noise,
            "last_action": last_action, "closed_loop": closed_loop, "pessimism": pessimism, "method": method,
            "elites": elites, "elite_weights": elite_weights, "min_noise": min_noise,
            "policy_sequences": policy_sequences}
        self.weighing: dict[str, Any] = {"scaling": scaling, "temperature": temperature, "share": effective_share}
        self._check_guidance()

    def _check_guidance(self) -> None:
        """Refuse what contradicts itself."""
        how, narrows = self.guidance, self.guidance["method"] == "cem"
        others = (how["iterations"] > 1, how["pessimism"], how["effective_noise"], narrows, how["policy_sequences"])
        if how["proposal"] == "particles" and any(others):
            raise AssemblyError([Problem("where each variant follows the policy through states of its own, there is no "
                                         "plan to improve twice, to judge in several models, to narrow, to set others "
                                         "beside, or to tell noise from", "proposal",
                                         "Write proposal: mean, or iterations: 1, pessimism: 0, method: mppi, "
                                         "policy_sequences: 0 and effective_noise: false.")])
        if narrows and not how["effective_noise"]:
            raise AssemblyError([Problem("elites are what was done, not the noise that was drawn", "effective_noise",
                                         "Leave effective_noise out, or write method: mppi.")])

    @classmethod
    def example(cls) -> Mopac:
        return cls(termination="never", buffer_size=100, learning_starts=6, min_buffer=6, epoch_length=10,
                   batch_size=8, gradient_steps=2, model_train_freq=5, rollout_batch_size=6,
                   rollout_schedule=[0, 1, 2, 2], ratio_schedule=[0, 1, 0.5, 0.5], particles=4)

    def build(self, lanes: Lanes, seed: int) -> None:
        """Make what plans, beside what learns."""
        from ..parts import devices
        from ..parts.guidance import Guidance, Planner
        from ..parts.path_integral import Weighing
        from ..parts.soft_actor_critic import check_state_value

        if self.planning and self.horizon_value == "v" and "state_value" not in self.used:
            raise AssemblyError([Problem("nothing says what an observation at the horizon is worth", "uses",
                                         "Add a critics.value_mlp and write uses: {state_value: its name}, or "
                                         "horizon_value: q, or none.")])
        check_state_value(self.used.get("state_value"))
        self._noise = devices.generator(devices.find(self.device))
        super().build(lanes, seed)
        if self.planning:
            self._check_variants()
        self.planner = Planner(Guidance(**self.guidance, weighing=Weighing(**self.weighing)), self.world, self.actor,
                               self.core.gamma, None if self.horizon_value == "none" else self._worth, self._noise)
        self.warnings = [*self.warnings, *self._never_plans()]

    def _check_variants(self) -> None:
        """Refuse variants of one plan that no memory holds."""
        from ..parts import torch_memory

        particles, length = self.guidance["particles"], int(min(self.rollout_length.start, self.rollout_length.end))
        torch_memory.check("variants of one plan take", {"particles": particles, "rollout_schedule": length},
                           4 * particles * length * self.core.actions, self.workplace.device)

    def _never_plans(self) -> list[str]:
        """Say where plans are asked for and none can be made."""
        if not (self.planning and self._imagines):
            return []
        if self.guidance["particles"] + self.guidance["policy_sequences"] == 1:
            return ["never plans: of one variant there is none to compare it with. Write particles: 2 or more, or "
                    "planning: false"]
        length = max(self.rollout_length.start, self.rollout_length.end)
        if self.horizon_value == "none" or length >= 2:
            return []
        return [f"never plans: of an imagined life of {int(length)} step a value judges what it begins with, whatever "
                "is done in it, so all variants gain the same. Write a rollout_schedule that reaches 2, horizon_value: "
                "none, or planning: false"]

    def reset(self, seed: int) -> None:
        super().reset(seed)
        self._noise_seed = derive(seed, "noise")
        self._noise.manual_seed(self._noise_seed)

    def _worth(self, observation: Any) -> Any:
        """Return what observations at the horizon are worth [rows], in the rewards' own units, as the model's are."""
        if self.horizon_value == "v":
            return self.core.judge_states(observation) / self.core.reward_scale
        return self.core.judge(observation, self.actor.mean(observation)) / self.core.reward_scale

    def imagine(self, start: Any, length: int) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """Plan from real observations, and live the plans; or let the policy act."""
        from ..parts.imagination import branch

        if not self.planning:
            yield from ((rows, {}) for rows in branch(self.world, self.actor, start, length))
            return
        if not self.planner.guidance.fresh_noise:
            self._noise.manual_seed(derive(self._noise_seed, self.epoch))
        sizes: Any = 0.0
        cut: Any = 0.0
        done = 0
        for plan, rows in self.planner.refresh(start, length):
            sizes, cut = sizes + plan.size.sum().double(), cut + plan.cut.double() * len(plan.size)
            done += len(plan.size)
            yield rows, {"effective_size": sizes / done, "cut_share": cut / done}

    def _generators(self) -> list[tuple[str, Any]]:
        return [*super()._generators(), ("noise", self._noise)]
