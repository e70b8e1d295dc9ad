"""What the `tasks`, `models` and `show` commands print."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from autocoa_bench.engines import EngineCapabilities
from autocoa_bench.engines.weights.models import KnownModel
from autocoa_bench.episode import n_actions, turns_of
from autocoa_bench.scoring.evidence import cause, trace
from autocoa_bench.tasks import Split, Task, load_warnings
from autocoa_bench.types import Question, Record, Score, TaskInfo, Trajectory

MEBIBYTE = 1 << 20


def print_tasks(console: Console, catalogue: Sequence[TaskInfo]) -> None:
    """A line a dataset, then where each comes from and under what licence."""
    real = [info for info in catalogue if info.edition == "real"]
    others = [info for info in catalogue if info.edition != "real"]
    table = _table("Tasks", ("name", "groups", "questions", "sha256", "shape"))
    for info in others:
        table.add_row(
            info.name, " ".join(info.groups), _count(info), (info.sha256 or "")[:10], info.shape
        )
    console.print(table)
    sources: dict[tuple[str, str, str], list[str]] = {}
    for info in others:
        sources.setdefault((info.edition, info.source, info.licence), []).append(info.name)
    for (edition, source, licence), names in sources.items():
        console.print(f"\n[bold]{edition}[/bold]: {', '.join(names)}")
        console.print(f"  source: {_safe(source)}; licence: {_safe(licence)}")
    if real:
        _print_real(console, real)
    console.print("\nA path to a file in FlashRAG or verl format is a task too.")


def _print_real(console: Console, catalogue: Sequence[TaskInfo]) -> None:
    """The real datasets, and how their questions are chosen."""
    console.print()
    table = _table("Real datasets", ("name", "groups", "questions", "splits", "licence"))
    for info in catalogue:
        table.add_row(info.name, " ".join(info.groups), _count(info), info.shape, info.licence)
    console.print(table)
    sources: dict[str, list[str]] = {}
    for info in catalogue:
        sources.setdefault(info.source, []).append(info.name.partition("@")[0])
    for source, names in sources.items():
        console.print(f"  source: {_safe(source)} ({', '.join(names)})")
    console.print(
        "Instead of all: NAME@paper (the paper's own sample), NAME@500:seed=3 (any number, any "
        "seed); a group too: multihop@paper. Fetch ahead: autocoa-bench tasks pull multihop@paper"
    )


def _count(info: TaskInfo) -> str:
    return "" if info.count is None else str(info.count)


def print_pulled(console: Console, task: Task, split: Split) -> None:
    """Fetch a task's questions, and say how many there are now."""
    found = task.load(split)
    for warning in load_warnings(task):
        console.print(f"[yellow]{_safe(warning)}[/yellow]")
    name = _safe(task.info.name)
    console.print(f"{name}, {split} split: {len(found):,} questions are here")


def print_questions(console: Console, task: Task, split: Split, limit: int) -> None:
    """The first questions of a task, with golds and, where known, gold passages."""
    questions = task.load(split)
    for warning in load_warnings(task):
        console.print(f"[yellow]{_safe(warning)}[/yellow]")
    console.print(f"[bold]{_safe(task.info.title)}[/bold] ({task.info.edition} edition)")
    for question in questions[:limit]:
        _print_question(console, question)


def _print_question(console: Console, question: Question) -> None:
    kind = f" [dim]{_safe(question.kind)}[/dim]" if question.kind else ""
    console.print(f"\n[dim]{_safe(question.id)}[/dim]{kind}")
    console.print(_safe(question.text))
    console.print(f"  [green]{_safe(' | '.join(question.golden_answers))}[/green]")
    for hop in question.hops:
        stated = f" ({_safe(hop.passage_id)})" if hop.passage_id else ""
        console.print(f"  [dim]{_safe(hop.question)} → {_safe(hop.answer)}{stated}[/dim]")
    if question.gold_titles:
        console.print(f"  [dim]gold pages: {_safe('; '.join(question.gold_titles))}[/dim]")


def print_models(console: Console, models: Iterable[KnownModel]) -> None:
    """The models that install by name."""
    table = Table(
        title="Models", title_justify="left", box=None, header_style="bold", pad_edge=False
    )
    for column in ("name", "size", "licence", "source", "here"):
        table.add_column(column)
    for model in models:
        size = f"{model.size / MEBIBYTE:.0f} MiB"
        table.add_row(model.name, size, model.licence, model.source, "yes" if model.path else "no")
    console.print(table)
    console.print("Any .gguf file is a model too, and any served name with --base-url.")


def print_engines(console: Console, engines: Iterable[tuple[str, EngineCapabilities | None]]) -> None:
    """What each engine can do; a plug-in that does not say is listed by name."""
    columns = EngineCapabilities.__struct_fields__
    heads = [{"ids": "token ids", "lora": "LoRA (--adapter)"}.get(name, name) for name in columns]
    table = _table("Engines (--engine)", ("name", *heads))
    for name, capabilities in engines:
        cells = [_safe(getattr(capabilities, column, "?")) for column in columns]
        table.add_row(_safe(name), *cells)
    console.print()
    console.print(table)
    console.print(
        "token ids: what the model sampled comes back, and goes back unchanged in the next prompt. "
        "logprobs: the server has them; runs ask for none."
    )


def print_record(console: Console, record: Record, scores: Mapping[str, Score]) -> None:
    """A trajectory in full: the model's text plain, the environment's in colour."""
    question = record.question
    console.rule(f"[bold]{_safe(question.task)}[/bold] {_safe(question.id)}", align="left")
    console.print(f"[bold]{_safe(question.text)}[/bold]")
    console.print(f"gold: [green]{_safe(' | '.join(question.golden_answers))}[/green]\n")
    if record.trajectory is None:
        fault = record.fault
        console.print(f"[red]fault: {_safe(f'{fault.kind}: {fault.message}' if fault else '?')}[/]")
        return
    for turn in turns_of(record.trajectory):
        style = "cyan" if turn.source == "environment" else ""
        console.print(Text(_plain(turn.text), style=style), end="")
    ended = _ended(record.trajectory, scores)
    if refusals := record.trajectory.refusals:
        ended = f"prompts refused for their length: {refusals}; {ended}"
    answer = _safe(record.trajectory.answer or "none")
    console.print(f"\n\nanswer: [bold]{answer}[/bold] [dim]({ended})[/dim]")
    console.print(f"[dim]{_safe(_evidence(question, record.trajectory, scores))}[/dim]\n")


def print_pair(
    console: Console,
    names: tuple[str, str],
    pair: tuple[Record, Record],
    scores: tuple[Mapping[str, Score], Mapping[str, Score]],
) -> None:
    """Two records of one question, side by side, a search's passages by their titles."""
    question = pair[0].question
    console.rule(f"[bold]{_safe(question.task)}[/bold] {_safe(question.id)}", align="left")
    console.print(f"[bold]{_safe(question.text)}[/bold]")
    console.print(f"gold: [green]{_safe(' | '.join(question.golden_answers))}[/green]\n")
    table = Table(box=None, expand=True, pad_edge=False, padding=(0, 3, 0, 0))
    for name in names:
        table.add_column(_safe(name), ratio=1, header_style="bold")
    table.add_row(*(_told(record, each) for record, each in zip(pair, scores, strict=True)))
    console.print(table)
    console.print()


def _told(record: Record, scores: Mapping[str, Score]) -> Text:
    """A trajectory in short: what the model wrote, and the titles that each search brought."""
    if record.trajectory is None:
        return Text(f"fault: {record.fault.kind if record.fault else '?'}", style="red")
    told = Text()
    for step in record.trajectory.steps:
        told.append(_plain(step.text).strip() + "\n")
        if step.kind == "search":
            titles = "; ".join(passage.title for passage in step.passages) or "nothing found"
            told.append(f"→ {_plain(titles)}\n", style="cyan")
    told.append(f"answer: {_plain(record.trajectory.answer or 'none')}", style="bold")
    return told.append(f"\n{_ended(record.trajectory, scores)}", style="dim")


def _ended(trajectory: Trajectory, scores: Mapping[str, Score]) -> str:
    values = ", ".join(
        f"{name} {'–' if score.value is None else f'{score.value:.2g}'}"
        for name, score in scores.items()
    )
    return f"{trajectory.ending}, {n_actions(trajectory)} actions; {values}"


def _evidence(question: Question, trajectory: Trajectory, scores: Mapping[str, Score]) -> str:
    """When a search brought what the question needs, and where a wrong answer comes from."""
    found = trace(question, trajectory)
    pieces = [(f"gold passage {name}", at) for name, at in found.passages]
    if not pieces and found.by_answer:
        pieces = [("gold answer", found.answer)]
    told = [f"{name} {f'at search {at}' if at else 'never shown'}" for name, at in pieces]
    score = scores.get("em", next(iter(scores.values()), Score(None)))
    if score.value is not None and score.value < 1 and (why := cause(found)):
        told.append(why)
    return "; ".join(told) or "no evidence to trace"


def _table(title: str, columns: Iterable[str]) -> Table:
    table = Table(
        title=title,
        title_style="bold",
        title_justify="left",
        box=None,
        header_style="dim",
        pad_edge=False,
        padding=(0, 2, 0, 0),
    )
    for column in columns:
        table.add_column(
            column,
            justify="right" if column in ("questions", "size") else "left",
            no_wrap=column in ("name", "groups", "sha256"),
        )
    return table


def _plain(text: str) -> str:
    """Foreign text without what a terminal would obey."""
    return "".join(char for char in text if char.isprintable() or char in "\n\t")


def _safe(text: str) -> str:
    """Foreign text that rich prints as it stands."""
    return escape(_plain(text))
