"""The check that runs are comparable in one table."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from msgspec.structs import replace

from autocoa_bench.errors import Incomparable, UserError
from autocoa_bench.report import Catalogue, build, compare_runs
from autocoa_bench.runs.run_folder import Run
from autocoa_bench.types import Budget, EngineSpec, Sampling, SearchSpec
from support.judges import judge_spec

Make = Callable[..., Run]

CORPUS = SearchSpec("bm25", "wiki", "0123456789abcdef", 2412, {"k1": 1.2, "b": 0.75}, 5)


def edited(run: Run, **fields: object) -> Run:
    return replace(run, info=replace(run.info, spec=replace(run.info.spec, **fields)))


def searching(make: Make, solver: str = "react", **fields: object) -> Run:
    return make({"t": [(1, 1.0)]}, solver, search=replace(CORPUS, **fields))


def alone(make: Make) -> Run:
    return make({"t": [(0, 1.0)]}, "model-only", search=None)


def refusal(*runs: Run, scorers: Sequence[str] | None = None) -> str:
    """The error message for runs that are not comparable."""
    with pytest.raises(Incomparable) as refused:
        build(runs, ["leaderboard"], scorers, catalogue=Catalogue())
    return str(refused.value)


def test_runs_that_agree_share_a_table(make_run: Make) -> None:
    runs = [searching(make_run, "react"), searching(make_run, "agent")]
    assert len(build(runs, catalogue=Catalogue()).tables) == 5


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"top_k": 3}, "top-k (passages per search): 5 [react]; 3 [agent]"),
        (
            {"corpus_sha256": "f" * 16, "passages": 9},
            "corpus: wiki (2,412 passages, 01234567) [react]; wiki (9 passages, ffffffff) [agent]",
        ),
        ({"settings": {"k1": 0.9, "b": 0.75}}, "search setting k1: 1.2 [react]; 0.9 [agent]"),
        ({"settings": {"b": 0.75}}, "search setting k1: 1.2 [react]; absent [agent]"),
        ({"engine": "hybrid"}, "search engine: bm25 [react]; hybrid [agent]"),
    ],
)
def test_another_search_is_refused_with_each_runs_value(
    make_run: Make, fields: dict[str, object], message: str
) -> None:
    error = refusal(searching(make_run), searching(make_run, "agent", **fields))
    assert message in error
    assert error.count("\n  ") == 1
    assert "--allow-differences" in error


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"sampling": Sampling(temperature=0.7)}, "temperature: 0.0 [react]; 0.7 [agent]"),
        ({"sampling": Sampling(repetition_penalty=1.05)}, "repetition penalty: 1.0 [react]; 1.05"),
        ({"samples": 3}, "samples per question: 1 [react]; 3 [agent]"),
        ({"budget": Budget(max_actions=3)}, "budget of searches: 10 [react]; 3 [agent]"),
        ({"budget": Budget(step_tokens=9)}, "budget of tokens per completion: 2048 [react]; 9"),
    ],
)
def test_other_sampling_and_budgets_are_refused(
    make_run: Make, fields: dict[str, object], message: str
) -> None:
    assert message in refusal(searching(make_run), edited(searching(make_run, "agent"), **fields))


def judged(run: Run, model: str, **fields: object) -> Run:
    """A run that a judge has scored."""
    run.scores["judge"] = run.scores["em"]
    info = replace(
        run.info, scorers=(*run.info.scorers, "judge"), judge=judge_spec(model, **fields)
    )
    return replace(run, info=info)


def test_another_judge_is_refused_where_its_scores_are_shown(make_run: Make) -> None:
    first = judged(searching(make_run), "Qwen2.5-14B-Instruct")
    build(
        [first, judged(searching(make_run, "agent"), "Qwen2.5-14B-Instruct")], catalogue=Catalogue()
    )
    second = judged(searching(make_run, "agent"), "gpt-4o")
    assert "judge: Qwen2.5-14B-Instruct (prompt brief" in refusal(first, second)
    assert "gpt-4o" in refusal(first, second)
    build([first, second], ["leaderboard"], ["em", "f1"], catalogue=Catalogue())
    (table,) = build(
        [first, second], ["leaderboard"], catalogue=Catalogue(), allow_differences=True
    ).tables
    assert any("gpt-4o" in note for note in table.notes)


@pytest.mark.parametrize(
    "fields",
    [
        {"votes": 3},
        {"prompt": "reasoned"},
        {"prompt_sha256": "f" * 64},
        {"engine": EngineSpec("embedded", "m", "template", {"adapter_sha256": "f"})},
        {"engine": EngineSpec("openai", "m", "continue")},
    ],
)
def test_the_same_model_asked_otherwise_is_another_judge(
    make_run: Make, fields: dict[str, object]
) -> None:
    first = judged(searching(make_run), "m")
    assert "\n  judge: " in refusal(first, judged(searching(make_run, "agent"), "m", **fields))


def test_other_questions_of_a_task_are_refused(make_run: Make) -> None:
    first = make_run({"t": [(1, 1.0)]}, "react")
    second = make_run({"t": [(1, 1.0), (1, 0.0)]}, "agent")
    assert "questions of t: embedded, 1 questions #" in refusal(first, second)


def test_other_tasks_are_refused_and_their_order_is_not(make_run: Make) -> None:
    both = make_run({"s": [(1, 1.0)], "t": [(1, 1.0)]}, "react")
    turned = make_run({"t": [(1, 1.0)], "s": [(1, 1.0)]}, "agent")
    build([both, turned], ["leaderboard"], catalogue=Catalogue())
    assert "tasks: s, t [react]; t [agent]" in refusal(both, make_run({"t": [(1, 1.0)]}, "agent"))


def test_only_the_tables_own_scorers_must_be_common(make_run: Make) -> None:
    first = searching(make_run)
    second = searching(make_run, "agent")
    second = replace(second, info=replace(second.info, scorers=("em",)))
    assert "scorers: em, f1 [react]; em [agent]" in refusal(first, second)
    build([first, second], ["leaderboard"], ["em"], catalogue=Catalogue())
    compare_runs(first, second, "em")


def test_solver_prompt_and_model_with_its_adapter_are_what_a_table_compares(
    make_run: Make,
) -> None:
    trained = EngineSpec("embedded", "small", "template", {"adapter": "agent", "n_ctx": 4096})
    runs = [searching(make_run), edited(searching(make_run, "agent"), engine=trained)]
    build(runs, ["leaderboard"], catalogue=Catalogue())


def test_a_run_that_never_searches_has_neither_search_nor_a_budget_of_searches(
    make_run: Make,
) -> None:
    few = edited(searching(make_run), budget=Budget(max_actions=3))
    build([alone(make_run), few], ["leaderboard"], catalogue=Catalogue())
    short = edited(searching(make_run), budget=Budget(context_tokens=4096))
    assert "budget of context tokens" in refusal(alone(make_run), short)


def test_what_greedy_sampling_does_not_read_is_no_difference(make_run: Make) -> None:
    runs = [searching(make_run, "react"), searching(make_run, "agent")]
    greedy = [runs[0], edited(runs[1], sampling=Sampling(top_p=0.8))]
    build(greedy, ["leaderboard"], catalogue=Catalogue())
    warm = [
        edited(run, sampling=Sampling(0.7, top_p))
        for run, top_p in zip(runs, (1.0, 0.8), strict=True)
    ]
    assert "top-p: 1.0 [react]; 0.8 [agent]" in refusal(*warm)


def test_another_seed_is_another_draw_and_noted(make_run: Make) -> None:
    runs = [make_run({"t": [(0, 1.0)]}, seed=seed) for seed in (0, 1)]
    (table,) = build(runs, ["leaderboard"], catalogue=Catalogue()).tables
    assert any(note.startswith("runs differ in seed") for note in table.notes)


def test_a_solver_with_a_loop_of_its_own_has_no_sampling_and_no_budget(make_run: Make) -> None:
    own = edited(
        alone(make_run),
        engine=EngineSpec("none", "", "none"),
        sampling=Sampling(temperature=1.0),
        budget=Budget(step_tokens=1),
    )
    build([own, searching(make_run)], ["leaderboard"], catalogue=Catalogue())


def test_a_corpus_is_known_by_its_content_not_its_name(make_run: Make) -> None:
    runs = [searching(make_run), searching(make_run, "agent", corpus="copy.jsonl")]
    build(runs, ["leaderboard"], catalogue=Catalogue())


def test_a_corpus_that_a_server_does_not_name_is_another(make_run: Make) -> None:
    unnamed = searching(make_run, "agent", corpus="", corpus_sha256="", passages=0)
    assert "one that the server does not name [agent]" in refusal(searching(make_run), unnamed)


def test_allowed_differences_stand_under_the_table(make_run: Make) -> None:
    runs = [searching(make_run), searching(make_run, "agent", top_k=3)]
    (table,) = build(runs, ["leaderboard"], catalogue=Catalogue(), allow_differences=True).tables
    assert "runs differ in top-k (passages per search): 5 [react]; 3 [agent]" in table.notes


def test_a_comparison_of_two_is_refused_alike(make_run: Make) -> None:
    runs = searching(make_run), searching(make_run, "agent", top_k=3)
    with pytest.raises(UserError, match="top-k"):
        compare_runs(*runs)
    assert any(
        "top-k" in note for note in compare_runs(*runs, allow_differences=True).tables[0].notes
    )


def with_settings(run: Run, **settings: str | int | float) -> Run:
    engine = run.info.spec.engine
    return edited(run, engine=replace(engine, settings={**engine.settings, **settings}))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"thinking": "off"}, "model setting thinking: none [react]; off [agent]"),
        ({"reasoning_effort": "low"}, "model setting reasoning_effort: none [react]; low [agent]"),
        ({"presence_penalty": 1.5}, "model setting presence_penalty: none [react]; 1.5 [agent]"),
        ({"body": '{"a":1}'}, 'model setting body: none [react]; {"a":1} [agent]'),
        ({"headers": "X-Tenant"}, "model setting headers: none [react]; X-Tenant [agent]"),
    ],
)
def test_other_options_of_requests_are_refused(
    make_run: Make, settings: dict[str, str | int | float], message: str
) -> None:
    assert message in refusal(
        searching(make_run), with_settings(searching(make_run, "agent"), **settings)
    )


def test_what_cuts_the_likeliest_tokens_matters_where_tokens_are_drawn(make_run: Make) -> None:
    runs = [
        searching(make_run),
        with_settings(searching(make_run, "agent"), sampling_top_k=20, min_p=0.1),
    ]
    assert build(runs, catalogue=Catalogue()).tables
    drawn = [edited(run, sampling=Sampling(temperature=0.7)) for run in runs]
    assert "model setting sampling_top_k: none [react]; 20 [agent]" in refusal(*drawn)


def test_other_settings_of_a_model_are_no_difference(make_run: Make) -> None:
    runs = [searching(make_run), with_settings(searching(make_run, "agent"), vllm="0.12")]
    assert build(runs, catalogue=Catalogue()).tables
