"""The metrics of a GRPO run, and the signs of a collapsed policy in them."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from agent_model.training.checkpoints import Progress
from agent_model.training.metrics import StepMetrics


class GRPOStep(StepMetrics, frozen=True, kw_only=True):
    """A row of metrics.csv: means over the rollouts of a step, of all processes together.

    `em` is the scorer's value whether or not a rollout is well-formed; `formed` is the share that
    is, `cut` the share whose answer was forced, and `skipped` the share of groups whose rewards are
    equal, from which nothing is learned, or which differ in form alone and are left out for that
    (`form_only`). `all_right` and `all_wrong` are the shares of groups whose scores are all 1 or
    all 0. `searched_known` and `searched_unknown` are the shares of rollouts that search, among
    those of known questions (`grpo.reward.known_questions`) and of others; None if there are none.
    `kl` (k3) and `entropy` (minus the log-probability of sampled tokens) are per token of the
    rollouts learned from; None if there are none, and without a `kl` in the recipe. A ratio is the
    probability of a sampled token by the policy that learns over the sampler's
    (`grpo.objective.importance_ratios`): `ratio_deviation` is the mean of its distance from 1, and
    `ratio_max` the greatest ratio; None where the sampler reports none. `calls`
    counts queries sent to the search engine, and `saved` those that were not, because they were
    cached or the policy wrote the results (`environment` is then simulated); `faults` are failed
    calls, or malformed results. `facts` is the share of searches whose results state a fact of the
    gold chain, of those made while one was missing. `rewritten` counts completions after which the
    episode went on with other tokens than the sampled ones, which were cut; they are learned in a
    row of their own. `sampled` tokens took
    `rollout_seconds`, searches included; `tokens` and `seconds` are totals since the run's start.
    `replay` is the mean loss of the replayed examples per trained token, and `live_*` are those of
    `SFTStep`.
    """

    environment: Literal["simulated", "real"]
    reward: float
    em: float
    formed: float
    cut: float
    searches: float
    facts: float | None = None
    skipped: float
    form_only: float | None = None
    all_right: float | None = None
    all_wrong: float | None = None
    searched_known: float | None = None
    searched_unknown: float | None = None
    loss: float
    kl: float | None = None
    entropy: float | None = None
    ratio_deviation: float | None = None
    ratio_max: float | None = None
    lr: float
    grad_norm: float
    calls: int
    saved: int
    faults: int
    rewritten: int
    sampled: int
    tokens: int
    rollout_seconds: float
    seconds: float
    tokens_per_second: float
    replay: float | None = None
    live_reward: float | None = None
    live_em: float | None = None
    live_formed: float | None = None
    live_searches: float | None = None
    live_known: float | None = None
    live_searched_known: float | None = None
    live_searched_unknown: float | None = None

    @property
    def evaluated(self) -> bool:
        return self.live_em is not None

    def summary(self) -> str:
        text = (
            f"reward {self.reward:.3f} · exact match {self.em:.3f} · form {self.formed:.0%} · "
            f"{self.searches:.1f} searches · {self.tokens_per_second:,.0f} tokens/s"
        )
        if self.facts is not None:
            text += f" · true facts {self.facts:.0%}"
        if self.kl is not None:
            text += f" · KL {self.kl:.4f}"
        return text if self.live_em is None else f"{text} · live exact match {self.live_em:.2f}"


def step_metrics(
    sums: Mapping[str, float],
    progress: Progress,
    lr: float,
    norm: float,
    rollout_seconds: float,
    *,
    simulated: bool,
    ratio_max: float,
) -> GRPOStep:
    """The row of a step from its sums over all rollouts."""
    rollouts, learned, ratios = sums["rollouts"], sums["learned"], sums["ratios"]
    means = ("reward", "em", "formed", "cut", "searches")
    totals = ("calls", "saved", "faults", "rewritten", "sampled")
    of_groups = ("skipped", "form_only", "all_right", "all_wrong")
    values: dict[str, Any] = {name: sums[name] / rollouts for name in means}
    values |= {name: sums[name] / sums["groups"] for name in of_groups}
    values |= {name: int(sums[name]) for name in totals}
    return GRPOStep(
        step=progress.step,
        environment="simulated" if simulated else "real",
        facts=sums["facts"] / sums["facts_sought"] if sums["facts_sought"] else None,
        **values,
        **search_shares(sums),
        loss=sums["loss"],
        kl=sums["kl"] / learned if learned and "kl" in sums else None,
        entropy=sums["entropy"] / learned if learned else None,
        ratio_deviation=sums["deviation"] / ratios if ratios else None,
        ratio_max=ratio_max if ratios else None,
        lr=lr,
        grad_norm=norm,
        tokens=progress.tokens,
        rollout_seconds=rollout_seconds,
        seconds=progress.seconds,
        tokens_per_second=sums["sampled"] / max(rollout_seconds, 1e-9),
    )


def search_shares(counts: Mapping[str, float]) -> dict[str, Any]:
    """The shares of rollouts that search, by `grpo.rollouts.search_counts`."""
    return {
        f"searched_{name}": counts[f"searched_{name}"] / counts[name] if counts[name] else None
        for name in ("known", "unknown")
    }


_MIN_FALL = 0.1
_SOLVED = 0.95  # a mean at which equal rewards are no collapse


def collapse(rows: Sequence[GRPOStep], patience: int) -> str:
    """The way in which the policy has collapsed in the last `patience` rows; empty if it has not.

    Either their mean reward, or share of well-formed rollouts, is below half of the best that as
    many consecutive earlier rows had, and lower by more than 0.1; or none of them had a group whose
    rewards differ, although the questions are not solved. `patience` 0 disables the check.
    """
    recent = rows[-patience:]
    if not patience or len(recent) < patience:
        return ""
    mean = _mean(recent, "reward")
    solved = mean >= _SOLVED or min(_mean(recent, "em"), _mean(recent, "formed")) >= _SOLVED
    if all(row.skipped == 1 for row in recent) and not solved:
        but = " but for their form" if any(row.form_only for row in recent) else ""
        return (
            f"for {patience} steps all rollouts of each question have had equal rewards{but} "
            f"({mean:.2f} on average), so there is nothing to learn from"
        )
    for name, label in (("formed", "share of well-formed rollouts"), ("reward", "mean reward")):
        starts = range(len(rows) - 2 * patience + 1)
        best = max((_mean(rows[i : i + patience], name) for i in starts), default=0.0)
        mean = _mean(recent, name)
        if best - mean > max(best / 2, _MIN_FALL):
            return f"over {patience} steps the {label} was {mean:.2f}, after a best of {best:.2f}"
    return ""


def _mean(rows: Sequence[GRPOStep], name: str) -> float:
    return float(sum(getattr(row, name) for row in rows)) / len(rows)
