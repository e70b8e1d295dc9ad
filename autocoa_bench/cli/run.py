"""`autocoa-bench run` and `score`: episodes recorded, scored and, where asked, judged."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autocoa_bench.cli.options import (
    NO_JUDGE,
    BaseUrl,
    JudgeAudit,
    JudgeBaseUrl,
    JudgeEngine,
    JudgeKeyFile,
    JudgeModel,
    JudgePrompt,
    JudgeVotes,
    KeyFile,
    Protocol,
    RunFolders,
    Split,
    addresses,
    check_key_file,
    concurrency_of,
    engine_of,
    judge_plan,
    names_in,
    print_report,
    stderr,
    stopped_safely,
)
from autocoa_bench.errors import Incomparable, UserError
from autocoa_bench.runs import config

DEFAULT_SCORERS = "em,f1,cover_em"


def run(
    solver: Annotated[
        list[str],
        typer.Option(help="A solver, with options as name:option=value; may be given again."),
    ] = ["agent"],  # noqa: B006 - typer reads the default and never changes it
    tasks: Annotated[
        str,
        typer.Option(
            help="Tasks, groups (singlehop, multihop, paper) or files, by commas; real datasets "
            "with an @: hotpotqa@paper, multihop@500:seed=3."
        ),
    ] = "multihop",
    model: Annotated[
        str, typer.Option(help="A model's name on the server, or an embedded one, or a .gguf.")
    ] = "",
    base_url: BaseUrl = [],  # noqa: B006 - as above
    key_file: KeyFile = "",
    engine: Annotated[
        str,
        typer.Option(
            help="Model engine, with options as name:option=value; default: openai with "
            "--base-url, else embedded."
        ),
    ] = "",
    protocol: Annotated[
        Protocol, typer.Option(help="How prompts reach the server; auto asks the server.")
    ] = Protocol.AUTO,
    adapter: Annotated[
        str, typer.Option(help="A LoRA adapter, or none; default: what the solver ships, if any.")
    ] = "",
    split: Annotated[Split, typer.Option(help="The tasks' split.")] = Split.TEST,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Questions a task: a sample drawn by --sample-seed.")
    ] = None,
    sample_seed: Annotated[int, typer.Option(help="Draws the questions of --limit.")] = 0,
    samples: Annotated[int, typer.Option(min=1, help="Episodes a question.")] = 1,
    corpus: Annotated[
        str | None, typer.Option(help="Corpus: a name or a file; default: the tasks' own.")
    ] = None,
    search: Annotated[
        str,
        typer.Option(help="Search engine, with options as name:option=value; or a server's URL."),
    ] = "bm25",
    search_cache: Annotated[
        Path | None, typer.Option(help="Keep search results in this folder, for further runs.")
    ] = None,
    top_k: Annotated[int, typer.Option(min=1, max=100, help="Passages a search.")] = 3,
    temperature: Annotated[float, typer.Option(min=0.0, max=100.0, help="0 is greedy.")] = 0.0,
    top_p: Annotated[float, typer.Option(min=0.01, max=1.0, help="1 samples from all.")] = 1.0,
    repetition_penalty: Annotated[float, typer.Option(min=0.1, max=10.0, help="1 is none.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Seeds the model's sampling.")] = 0,
    max_actions: Annotated[int, typer.Option(min=0, help="Searches an episode (T).")] = 10,
    context_tokens: Annotated[int, typer.Option(min=1024, help="An episode's tokens (N).")] = 8192,
    step_tokens: Annotated[int, typer.Option(min=1, help="Tokens a completion.")] = 2048,
    answer_tokens: Annotated[int, typer.Option(min=1, help="Tokens of a forced answer.")] = 64,
    concurrency: Annotated[
        int | None,
        typer.Option(min=1, help="Episodes in flight; default: 8 embedded, 64 with --base-url."),
    ] = None,
    scorers: Annotated[str, typer.Option(help="Scorers, comma-separated.")] = DEFAULT_SCORERS,
    judge: JudgeModel = "",
    judge_base_url: JudgeBaseUrl = [],  # noqa: B006 - as above
    judge_key_file: JudgeKeyFile = "",
    judge_engine: JudgeEngine = "",
    judge_prompt: JudgePrompt = "",
    judge_votes: JudgeVotes = None,
    executor: Annotated[
        str,
        typer.Option(
            help="Where episodes run: ray (a cluster, as ray:workers=4,gpus=1); none: here."
        ),
    ] = "",
    record: Annotated[
        Path | None, typer.Option(help="Write every model and search exchange to this file.")
    ] = None,
    replay: Annotated[
        Path | None, typer.Option(help="Answer from such a file instead: no server, no corpus.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Run folder; default: one under results/runs.")
    ] = None,
) -> None:
    """Run solvers over tasks, then print the tables. The same command resumes a stopped run."""
    from autocoa_bench.engines import EMBEDDED
    from autocoa_bench.judge import SCORER
    from autocoa_bench.runs import run as bench
    from autocoa_bench.runs import scores
    from autocoa_bench.types import Budget, Sampling

    judging = judge_plan(
        judge, judge_base_url, judge_key_file, judge_engine, judge_prompt, judge_votes, concurrency
    )
    names = names_in(scorers)
    servers = addresses(base_url)
    check_key_file(key_file, servers)
    engine = engine_of(engine, servers)
    embedded = engine.partition(":")[0] == EMBEDDED
    shipped = embedded and judging is None and judge != NO_JUDGE and replay is None
    if SCORER in names and not (judging or shipped):
        raise UserError("--scorers judge needs --judge MODEL, which says who judges")
    if out is not None and len(solver) > 1:
        raise UserError(f"--out holds one run, and {len(solver)} solvers were given; leave it out")
    if answer_tokens >= context_tokens:
        raise UserError(
            f"--answer-tokens {answer_tokens} leave no room in --context-tokens {context_tokens}"
        )
    if record is not None and replay is not None:
        raise UserError("--record and --replay exclude one another: a replay is recorded already")
    if judging:
        scores.check_judge(judging)
    runs = []
    for spec in solver:
        plan = config.RunConfig(
            solver=spec,
            tasks=tasks,
            model=model,
            engine=engine,
            base_url=servers,
            key_file=key_file,
            protocol=protocol.value,
            adapter=adapter,
            split=split.value,
            limit=limit,
            sample_seed=sample_seed,
            samples=samples,
            corpus=corpus,
            search=search,
            search_cache=search_cache,
            top_k=top_k,
            sampling=Sampling(temperature, top_p, repetition_penalty, seed),
            budget=Budget(max_actions, context_tokens, step_tokens, answer_tokens),
            concurrency=concurrency_of(concurrency, engine),
            scorers=tuple(scores.text_scorers(names)),
            executor=executor,
            record=record,
            replay=replay,
            out=out,
        )
        with stopped_safely():
            runs.append(bench.run(plan, stderr()))
    if judging:
        with stopped_safely():
            runs = scores.judge_runs(runs, judging, stderr())
    elif shipped:
        with stopped_safely():
            runs = scores.judge_embedded(runs, concurrency_of(concurrency, engine), stderr())
    print_report(runs, "leaderboard,actions,cost,faults", allow_differences=True)
    for scored in runs:
        path = scored.path
        typer.echo(f"recorded in {path}; read its trajectories: autocoa-bench show {path}")


def score(
    runs: RunFolders,
    scorers: Annotated[
        str | None,
        typer.Option(
            help="Scorers, comma-separated, judge among them for the verdicts that a run has; "
            f"default: {DEFAULT_SCORERS}, and judge where a run has verdicts.",
            show_default=False,
        ),
    ] = None,
    judge: JudgeModel = "",
    judge_base_url: JudgeBaseUrl = [],  # noqa: B006 - typer reads the default and never changes it
    judge_key_file: JudgeKeyFile = "",
    judge_engine: JudgeEngine = "",
    judge_prompt: JudgePrompt = "",
    judge_votes: JudgeVotes = None,
    judge_audit: JudgeAudit = None,
) -> None:
    """Score recorded runs anew; no answer is generated. With --judge, a model judges them too."""
    from autocoa_bench.judge import SCORER
    from autocoa_bench.runs import scores
    from autocoa_bench.runs.run_folder import load_run

    judging = judge_plan(
        judge, judge_base_url, judge_key_file, judge_engine, judge_prompt, judge_votes
    )
    names = names_in(DEFAULT_SCORERS if scorers is None else scorers)
    loaded = scores.text_scorers(names)
    judged = None if scorers is None and judging is None else SCORER in names or bool(judging)
    recorded = [load_run(folder) for folder in runs]
    if judging:
        with stopped_safely():
            recorded = scores.judge_runs(recorded, judging, stderr())
    scored = [scores.score_run(run, loaded, judged) for run in recorded]
    try:
        print_report(scored, "leaderboard,faults", judge_audit=judge_audit)
    except Incomparable as error:
        typer.echo(
            f"All runs are scored. A table of them is for report to print: {error}", err=True
        )
