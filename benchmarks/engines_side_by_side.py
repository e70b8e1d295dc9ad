"""Where greedy runs of one model on several engines part, and how near to a tie they do.

    autocoa-bench run --engine transformers --model my/model --limit 5 --out runs/transformers
    autocoa-bench run --engine vllm:dtype=float32 --model my/model --limit 5 --out runs/vllm
    python benchmarks/engines_side_by_side.py runs/transformers runs/vllm --model my/model

Each run is set beside the first, question by question, up to the first sampled token that differs:
from there on the prompts are others. At that token transformers, in 32-bit floats, says how much
more the model has for the first run's choice than for the other's (the difference of their logits):
after the tokens that the first run's engine read, and after those of the other's, since a server
that takes a turn as text (the protocol `continue`) tokenises anew what was sampled. The first run
must be of an engine that takes tokens: transformers or llama.cpp.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from tabulate import tabulate

from autocoa_bench.engines.tokenizer import prompt_ids
from autocoa_bench.engines.weights import huggingface
from autocoa_bench.episode import turns_of
from autocoa_bench.errors import UserError
from autocoa_bench.runs.run_folder import Key, Run
from autocoa_bench.runs.scores import load_scored
from autocoa_bench.types import EngineSpec, Prompt, Record, Step, Trajectory

SHARES = (0.1, 0.5)
"""Of the gaps between first and second choice along the first run, which are told."""


class Choice(NamedTuple):
    """What the model has at one place: its first choice, and logits by token."""

    first: int
    logits: Any

    def gap(self, ours: int, theirs: int) -> float:
        """How much more it has for our token than for theirs."""
        return float(self.logits[ours] - self.logits[theirs])


class Parting(NamedTuple):
    """The first sampled token of an episode that differs: `token` of `step`, from 1.

    `others` is None where the other engine read the same tokens up to there.
    """

    key: Key
    step: int
    token: int
    ours: int
    theirs: int
    reference: Choice
    others: Choice | None


class Reader:
    """A model by transformers in 32-bit floats, and the prompts that engines make for it."""

    def __init__(self, name: str) -> None:
        self.tokenizer = huggingface.load_tokenizer(name)
        self._model = huggingface.load_model(name, "float32")

    def choices(self, ids: Sequence[int], places: Sequence[int]) -> list[Choice]:
        """What the model has for the tokens at `places`, each after all that stand before it."""
        import torch

        given = torch.tensor([ids])
        keep = torch.tensor([place - 1 for place in places])
        with torch.inference_mode():
            logits = self._model(input_ids=given, logits_to_keep=keep).logits[0]
        return [Choice(int(row.argmax()), row) for row in logits]

    def prompt(self, protocol: str, trajectory: Trajectory, step: int) -> tuple[int, ...]:
        """The tokens that an engine read before it sampled a step."""
        before = msgspec.structs.replace(trajectory, steps=trajectory.steps[:step], prefill="")
        prompt = Prompt(trajectory.opening, turns_of(before), trajectory.prefill)
        if protocol == "template":
            return prompt_ids(prompt, self.tokenizer)
        messages = [{"role": each.role, "content": each.content} for each in prompt.opening]
        if turn := prompt.continuation:
            messages.append({"role": "assistant", "content": turn})
        text = self.tokenizer.apply_chat_template(
            messages,
            tokenize=False,
            continue_final_message=bool(turn),
            add_generation_prompt=not turn,
        )
        return tuple(self.tokenizer(text, add_special_tokens=False).input_ids)

    def sampled(self, step: Step) -> tuple[int, ...]:
        """A step's sampled tokens; where the server did not say, those of its text."""
        ids = step.token_ids or self.tokenizer(step.text, add_special_tokens=False).input_ids
        return tuple(ids)

    def spelled(self, token: int) -> str:
        """A token as a cell of a table shows it."""
        return "`" + repr(self.tokenizer.decode([token]))[1:-1].replace("|", "\\|") + "`"


def parting(reader: Reader, ours: Record, theirs: Record, protocol: str) -> Parting | None:
    """Where two episodes part; None: nowhere, or where either is a fault."""
    if ours.trajectory is None or theirs.trajectory is None:
        return None
    mine, others = ours.trajectory, theirs.trajectory
    for number, pair in enumerate(zip(mine.steps, others.steps, strict=False)):
        one, other = map(reader.sampled, pair)
        if one == other:
            continue
        # One may go on where the other ends its turn.
        end = reader.tokenizer.eos_token_id
        pairs = zip_longest(one, other, fillvalue=end)
        found = ((place, *each) for place, each in enumerate(pairs) if each[0] != each[1])
        place, our_token, their_token = next(found, (0, 0, 0))
        if our_token == their_token:
            continue
        read = reader.prompt("template", mine, number)
        read_there = reader.prompt(protocol, others, number)
        made = one[:place]
        return Parting(
            ours.key,
            number + 1,
            place + 1,
            our_token,
            their_token,
            _choice(reader, (*read, *made)),
            None if read == read_there else _choice(reader, (*read_there, *made)),
        )
    return None


def _choice(reader: Reader, ids: tuple[int, ...]) -> Choice:
    [found] = reader.choices(ids, [len(ids)])
    return found


def along(reader: Reader, records: Sequence[Record]) -> tuple[list[float], int]:
    """Gaps between first and second choice at all tokens that a run sampled, and how many of
    these tokens are the first choice."""
    gaps, firsts = [], 0
    for record in records:
        if record.trajectory is None:
            continue
        ids: tuple[int, ...] = ()
        places: list[int] = []
        for number, step in enumerate(record.trajectory.steps):
            read = reader.prompt("template", record.trajectory, number)
            sampled = reader.sampled(step)
            places += range(len(read), len(read) + len(sampled))
            ids = (*read, *sampled)
        for place, choice in zip(places, reader.choices(ids, places), strict=True):
            high, low = choice.logits.topk(2).values.tolist()
            gaps.append(high - low)
            firsts += ids[place] == choice.first
    return gaps, firsts


def read_as_counted(reader: Reader, run: Run) -> str:
    """Of how many completions the server counted as many prompt tokens as are made here."""
    same = total = 0
    for record in run.records:
        for number, step in enumerate(record.trajectory.steps if record.trajectory else ()):
            if step.prompt_tokens is not None:
                made = reader.prompt(run.info.spec.engine.protocol, record.trajectory, number)
                same += step.prompt_tokens == len(made)
                total += 1
    return f"{same} of {total}"


def check(runs: Sequence[Run]) -> None:
    """Refuse runs that are not beside each other. Raises UserError."""
    first = runs[0]
    if first.info.spec.engine.protocol != "template":
        raise UserError(
            f"'{first.path}' is of an engine that takes text; put a run of transformers or "
            "llama.cpp first"
        )
    for run in runs:
        spec, ours = run.info.spec, first.info.spec
        if spec.sampling.temperature:
            raise UserError(f"'{run.path}' was sampled; only greedy runs are set side by side")
        if spec.engine.protocol not in ("template", "continue"):
            raise UserError(
                f"'{run.path}' speaks the protocol '{spec.engine.protocol}', whose prompts are not "
                "known here; template and continue are"
            )
        if (spec.prompt_sha256, spec.tasks, spec.budget) != (
            *(ours.prompt_sha256, ours.tasks, ours.budget),
        ):
            raise UserError(
                f"'{run.path}' and '{first.path}' differ in solver, questions or budget; give runs "
                "that differ in their engines alone"
            )


def overview(runs: Sequence[Run], reader: Reader, found: Sequence[Sequence[Parting]]) -> str:
    """A row a run: what it scores, and how much of it is the first run's."""
    first = {record.key: record for record in runs[0].records}
    rows = []
    for run, partings in zip(runs, found, strict=True):
        pairs = [
            (first[each.key].trajectory, each.trajectory)
            for each in run.records
            if each.key in first
        ]
        both = [(ours, theirs) for ours, theirs in pairs if ours and theirs]
        right = [score.value for score in run.scores["em"].values() if score.value is not None]
        rows.append(
            [
                run.path.name,
                len(both),
                len(both) - len(partings),
                sum(_searches(ours) == _searches(theirs) for ours, theirs in both),
                sum(ours.answer == theirs.answer for ours, theirs in both),
                f"{sum(right):.0f} of {len(right)}",
                read_as_counted(reader, run),
            ]
        )
    head = ["Run", "Episodes", "Same tokens", "Same searches", "Same answer", "Exact match"]
    return tabulate(rows, [*head, "Prompts as counted"], tablefmt="pipe")


def _searches(trajectory: Trajectory) -> list[str]:
    return [step.argument for step in trajectory.steps if step.kind == "search"]


def parting_rows(name: str, partings: Sequence[Parting], reader: Reader) -> Iterator[list[str]]:
    """A row a parting."""
    for each in partings:
        there = each.others
        yield [
            name,
            each.key[1],
            f"{each.step}, {each.token}",
            reader.spelled(each.ours),
            reader.spelled(each.theirs),
            _told(each.reference, each),
            "the same" if there is None else _told(there, each),
        ]


def _told(choice: Choice, parting: Parting) -> str:
    """The gap; in brackets whose token is the model's first choice."""
    whose = {parting.ours: "first's", parting.theirs: "other's"}.get(choice.first, "neither's")
    return f"{choice.gap(parting.ours, parting.theirs):+.4f} ({whose})"


def described(spec: EngineSpec) -> str:
    """An engine's settings in a line."""
    settings = ", ".join(
        f"{name} {str(value)[:8] if name.endswith('sha256') else value}"
        for name, value in spec.settings.items()
    )
    return f"{spec.engine}, {Path(spec.model).name}, protocol {spec.protocol}; {settings}"


def tables(folders: Sequence[Path], model: str) -> str:
    """All of it as Markdown. Raises UserError."""
    runs = [load_scored(folder) for folder in folders]
    check(runs)
    reader = Reader(model)
    first = {record.key: record for record in runs[0].records}
    found = [
        [
            each
            for record in sorted(run.records, key=lambda record: record.key)
            if record.key in first
            and (each := parting(reader, first[record.key], record, run.info.spec.engine.protocol))
        ]
        for run in runs
    ]
    rows = [
        row
        for run, partings in zip(runs, found, strict=True)
        for row in parting_rows(run.path.name, partings, reader)
    ]
    head = ["Run", "Question", "Step, token", "First", "Other", "Gap", "Gap after its own prompt"]
    gaps, firsts = along(reader, runs[0].records)
    quantiles = statistics.quantiles(gaps, n=1000)
    shares = ", ".join(
        f"{share:.0%} are below {quantiles[round(share * 1000) - 1]:.2f}" for share in SHARES
    )
    spec = runs[0].info.spec
    revisions = {session.git_revision for run in runs for session in run.info.sessions}
    return "\n\n".join(
        [
            "# Engines side by side",
            f"{spec.solver}, greedy, {spec.budget.step_tokens} step tokens; each run beside the "
            f"first, {runs[0].path.name}.",
            overview(runs, reader, found),
            "## Where they part",
            tabulate(rows, head, tablefmt="pipe", disable_numparse=True),
            f"Of {len(gaps):,} tokens that the first run sampled {firsts:,} are the first choice "
            f"here too. Of the gaps between first and second choice {shares}.",
            "## How",
            "\n".join(
                [
                    *(f"- {run.path.name}: {described(run.info.spec.engine)}" for run in runs),
                    f"- git revision: {', '.join(sorted(revisions))}",
                ]
            ),
        ]
    )


def main() -> None:
    """Read the runs, find where they part, write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    try:
        made = tables(arguments.runs, arguments.model)
    except UserError as error:
        sys.exit(f"error: {error}")
    if arguments.out:
        arguments.out.write_text(made + "\n")
    else:
        print(made)


if __name__ == "__main__":
    main()
