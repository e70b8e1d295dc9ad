"""What a run of reinforcement learning shows: metrics.csv, the bar's words and curves.png."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from matplotlib.figure import Figure
from msgspec import Struct

from agent_model.training.checkpoints import Progress
from agent_model.training.files import writing
from agent_model.training.metrics import smooth


class GRPOStep(Struct, frozen=True, kw_only=True):
    """One line of metrics.csv: means over a step's rollouts, all processes' together.

    `em` is the scorer's value, out of form or not; `formed` the share that keeps the agent's form;
    `cut` the share whose answer was forced; `skipped` the share of groups whose rewards are equal,
    from which nothing is learned. `kl` (k3) and `entropy` (minus the log-probability of what was
    sampled) are by token, of the rollouts learned from; None where there are none. `calls` counts
    queries that the search engine was asked and `saved` those that it was not, as the step had them
    answered already or the policy wrote the results (`environment` is then simulated); `faults` are
    calls that failed, or results out of form. `facts` is the share of searches that stated a fact
    of the gold chain, of those made while one was open. `rewritten` counts the model's completions
    whose text was cut, so that their tokens are the text's and not those sampled. `sampled` tokens
    took `rollout_seconds`, searches included; `tokens` are all that were read and `seconds` all
    that were spent, from the run's start on.
    """

    step: int
    environment: Literal["simulated", "real"]
    reward: float
    em: float
    formed: float
    cut: float
    searches: float
    facts: float | None = None
    skipped: float
    loss: float
    kl: float | None = None
    entropy: float | None = None
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
    live_reward: float | None = None
    live_em: float | None = None
    live_formed: float | None = None
    live_searches: float | None = None


def row_of(
    sums: Mapping[str, float],
    done: Progress,
    lr: float,
    norm: float,
    rollout_seconds: float,
    *,
    simulated: bool,
) -> GRPOStep:
    """A step's row from its sums over all rollouts."""
    rollouts, learned = sums["rollouts"], sums["learned"]
    values: dict[str, Any] = {
        name: sums[name] / rollouts for name in ("reward", "em", "formed", "cut", "searches")
    }
    for name in ("calls", "saved", "faults", "rewritten", "sampled"):
        values[name] = int(sums[name])
    return GRPOStep(
        step=done.step,
        environment="simulated" if simulated else "real",
        facts=sums["facts"] / sums["facts_sought"] if sums["facts_sought"] else None,
        **values,
        skipped=sums["skipped"] / sums["groups"],
        loss=sums["loss"],
        kl=sums["kl"] / learned if learned else None,
        entropy=sums["entropy"] / learned if learned else None,
        lr=lr,
        grad_norm=norm,
        tokens=done.tokens,
        rollout_seconds=rollout_seconds,
        seconds=done.seconds,
        tokens_per_second=sums["sampled"] / max(rollout_seconds, 1e-9),
    )


_LEAST_FALL = 0.1
_ALL_RIGHT = 0.95


def collapsed(rows: Sequence[GRPOStep], patience: int) -> str:
    """How the policy has collapsed, by the last `patience` rows; empty where it has not.

    Their mean reward, or their share in form, is less than half of the best that as many earlier
    rows in a line had, and lower by more than 0.1; or none of them had a group whose rewards
    differ, though not all is right. `patience` 0 never finds one.
    """
    last = rows[-patience:]
    if not patience or len(last) < patience:
        return ""
    now = _mean(last, "reward")
    if all(row.skipped == 1 for row in last) and now < _ALL_RIGHT:
        return (
            f"in {patience} steps all rollouts of each question earned alike ({now:.2f} on "
            "average), so there is nothing to learn from"
        )
    for name, words in (("formed", "share of rollouts in form"), ("reward", "mean reward")):
        starts = range(len(rows) - 2 * patience + 1)
        best = max((_mean(rows[i : i + patience], name) for i in starts), default=0.0)
        now = _mean(last, name)
        if best - now > max(best / 2, _LEAST_FALL):
            return f"over {patience} steps the {words} was {now:.2f}, where it had been {best:.2f}"
    return ""


def _mean(rows: Sequence[GRPOStep], name: str) -> float:
    return float(sum(getattr(row, name) for row in rows)) / len(rows)


def progress_text(row: GRPOStep) -> str:
    """A step in one line."""
    text = (
        f"reward {row.reward:.3f} · exact match {row.em:.3f} · form {row.formed:.0%} · "
        f"{row.searches:.1f} searches · {row.tokens_per_second:,.0f} tokens/s"
    )
    if row.facts is not None:
        text += f" · true facts {row.facts:.0%}"
    if row.kl is not None:
        text += f" · KL {row.kl:.4f}"
    return text if row.live_em is None else f"{text} · live exact match {row.live_em:.2f}"


def plot(rows: Sequence[GRPOStep], path: Path, title: str) -> None:
    """Draw what rollouts earn and keep to, and how far the policy went, over steps."""
    figure = Figure(figsize=(8, 6.5), layout="constrained")
    upper, lower = figure.subplots(2, sharex=True)
    steps = [row.step for row in rows]
    for name, colour in (("reward", "#08519c"), ("em", "#238b45"), ("formed", "#88419d")):
        values = [getattr(row, name) for row in rows]
        upper.plot(steps, values, color=colour, linewidth=0.5, alpha=0.4)
        upper.plot(steps, list(smooth(values)), color=colour, label=name)
    if stated := [(row.step, row.facts) for row in rows if row.facts is not None]:
        upper.plot(*zip(*stated, strict=True), color="#d94801", linewidth=0.8, label="true facts")
    real = [row.step for row in rows if row.environment == "real"]
    if real and real[0] > 1:
        upper.axvline(real[0] - 0.5, color="#bdbdbd", label="real from here")
    live = [(row.step, row.live_em) for row in rows if row.live_em is not None]
    if live:
        upper.plot(*zip(*live, strict=True), "s--", color="black", label="live exact match")
    upper.set(ylabel="mean of a step's rollouts", title=title)
    upper.legend(ncols=3, frameon=False)
    lower.plot(steps, [row.searches for row in rows], color="#d94801", label="searches an episode")
    learned = [row for row in rows if row.entropy is not None]
    taught = [row.step for row in learned]
    lower.plot(taught, [row.entropy for row in learned], color="#737373", label="entropy")
    lower.set(xlabel="step")
    right = lower.twinx()
    right.plot(taught, [row.kl for row in learned], color="#ce1256", label="KL (right)")
    lower.legend(loc="upper left", frameon=False)
    right.legend(loc="upper right", frameon=False)
    part = path.with_name(f"{path.stem}.part{path.suffix}")
    with writing(path):
        figure.savefig(part, dpi=120)
        part.replace(path)
