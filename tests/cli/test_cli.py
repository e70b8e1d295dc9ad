"""The command line: whole runs against a mock server, and what a person's mistakes are told."""

import errno
import json
import os
import signal
import subprocess
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from autocoa_bench.runs.run_folder import RunFolder, load_run
from support.commands import Cli, caller, refused
from support.interrupt import Interrupter, heed_ctrl_c
from support.mock_server import MockServer
from support.runs import answered, info
from support.towns import reply, town_of, write_task


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Runs the command in a folder of its own, without a key in the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTOCOA_BENCH_CACHE", str(tmp_path / "cache"))
    for variable in ("AUTOCOA_BENCH_API_KEY", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(variable, raising=False)

    return caller(monkeypatch, capsys)


@pytest.fixture
def towns(tmp_path: Path) -> list[str]:
    """Arguments of a run over ten towns, less the server."""
    tasks, corpus = write_task(tmp_path, 10)
    return ["run", "--tasks", tasks, "--corpus", corpus, "--model", "mock"]


AGENT = ("--solver", "agent:shots=0")


def test_a_run_ends_with_its_tables_and_a_scored_folder(cli: Cli, towns: list[str]) -> None:
    with MockServer(reply) as server:
        done = cli(*towns, *AGENT, "--base-url", server.url, "--out", "run")
    assert done.code == 0, done.err
    assert "Leaderboard" in done.out
    assert "50.0" in done.out
    run = load_run(Path("run"))
    assert sum(score.value or 0 for score in run.scores["em"].values()) == 5.0


def test_run_json_says_what_makes_numbers_comparable(cli: Cli, towns: list[str]) -> None:
    with MockServer(reply) as server:
        cli(*towns, *AGENT, "--base-url", server.url, "--out", "run", "--seed", "3")
    spec = load_run(Path("run")).info.spec
    assert spec.search is not None
    assert (spec.search.corpus, spec.search.passages, spec.search.top_k) == ("corpus.jsonl", 10, 3)
    assert (spec.engine.model, spec.engine.protocol) == ("mock", "chat")
    assert (spec.sampling.seed, spec.solver) == (3, "agent:shots=0")
    assert spec.tasks[0].question_ids == tuple(f"q{i}" for i in range(10))


def test_several_solvers_share_one_leaderboard(cli: Cli, towns: list[str]) -> None:
    with MockServer(reply) as server:
        done = cli(
            *towns, *AGENT, "--solver", "react:shots=0", "--base-url", server.url, "--limit", "4"
        )
    assert done.code == 0, done.err
    assert "agent:shots=0" in done.out
    assert "react:shots=0" in done.out
    assert len(list(Path("results/runs").iterdir())) == 2


def test_the_same_command_resumes_without_asking_again(cli: Cli, towns: list[str]) -> None:
    with MockServer(reply) as server:
        cli(*towns, *AGENT, "--base-url", server.url)
        asked = len(server.generations())
        done = cli(*towns, *AGENT, "--base-url", server.url)
        assert len(server.generations()) == asked == 30
    assert "10 of 10 recorded" in done.err


def test_a_fault_is_listed_and_asked_again_on_resume(cli: Cli, towns: list[str]) -> None:
    with MockServer(reply, fault=lambda number: "400" if number == 3 else None) as server:
        first = cli(*towns, *AGENT, "--base-url", server.url, "--out", "run")
        assert "http-400" in first.out
        assert "†" in first.out
        [fault] = [record for record in load_run(Path("run")).records if record.fault]
        requests = len(server.generations())
        second = cli(*towns, *AGENT, "--base-url", server.url, "--out", "run")
    assert {f"q{town_of(body)}" for body in server.generations()[requests:]} == {fault.question.id}
    assert "http-400" not in second.out
    assert all(record.trajectory for record in load_run(Path("run")).records)


def test_a_report_never_shows_the_score_of_a_fault_that_was_mended(
    cli: Cli, towns: list[str]
) -> None:
    """Stopped after the resumed answer was recorded, and before it was scored."""
    with MockServer(reply, fault=lambda number: "400" if number == 3 else None) as server:
        cli(*towns, *AGENT, "--base-url", server.url, "--out", "run")
        stale = Path("run/scores.jsonl").read_bytes()
        cli(*towns, *AGENT, "--base-url", server.url, "--out", "run")
    Path("run/scores.jsonl").write_bytes(stale)
    done = cli("report", "run")
    assert "†" not in done.out
    assert "50.0" in done.out


def test_ctrl_c_says_that_the_same_command_resumes(tmp_path: Path) -> None:
    tasks, corpus = write_task(tmp_path, 50)
    interrupter = Interrupter(reply, signal.SIGINT, requests=10)
    with MockServer(interrupter) as server:
        command = [sys.executable, "-m", "autocoa_bench", "run", *AGENT, "--tasks", tasks]
        command += ["--corpus", corpus, "--model", "mock", "--base-url", server.url]
        environment = {**os.environ, "AUTOCOA_BENCH_CACHE": str(tmp_path / "cache")}
        interrupter.process = process = subprocess.Popen(
            command,
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=heed_ctrl_c,
        )
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command resumes" in errors
    assert "Traceback" not in errors


def test_score_rescores_without_a_server(cli: Cli, towns: list[str]) -> None:
    with MockServer(reply) as server:
        cli(*towns, *AGENT, "--base-url", server.url, "--out", "run")
    done = cli("score", "run", "--scorers", "em,autocoa-reward,autocoa-eval")
    assert done.code == 0, done.err
    assert all(heading in done.out for heading in ("EM", "reward", "eval"))
    assert set(load_run(Path("run")).scores) == {"em", "autocoa-reward", "autocoa-eval"}


@pytest.mark.parametrize(
    ("name", "mark"), [("t.md", "| "), ("t.tex", "\\toprule"), ("t.csv", "em,")]
)
def test_a_report_goes_to_a_file_in_the_format_of_its_name(
    cli: Cli, towns: list[str], name: str, mark: str
) -> None:
    with MockServer(reply) as server:
        cli(*towns, *AGENT, "--base-url", server.url, "--out", "run")
    assert cli("report", "run", "--out", name).code == 0
    assert mark in Path(name).read_text()


@pytest.mark.parametrize(
    ("form", "mark"),
    [("markdown", "| "), ("latex", "\\toprule"), ("csv", "leaderboard,"), ("terminal", "━━")],
)
def test_a_report_is_written_in_each_format(
    cli: Cli, towns: list[str], form: str, mark: str
) -> None:
    with MockServer(reply) as server:
        cli(*towns, *AGENT, "--base-url", server.url, "--out", "run")
    done = cli("report", "run", "--format", form)
    assert done.code == 0, done.err
    assert mark in done.out


def test_a_report_is_written_as_a_page(cli: Cli, towns: list[str]) -> None:
    with MockServer(reply) as server:
        cli(*towns, *AGENT, "--base-url", server.url, "--out", "run")
    done = cli("report", "run", "--html", "page.html")
    assert (done.code, done.out) == (0, "written to page.html: open it in a browser\n")
    page = Path("page.html").read_text()
    assert page.startswith("<!doctype html>")
    assert server.url not in page
    refused(cli("report", "run", "--html", "a.html", "--out", "a.md"), "leave out --format and")
    refused(cli("report", "run", "--html", "run/run.json"), "choose another --html")


def test_show_prints_a_wrong_trajectory_in_full(cli: Cli, towns: list[str]) -> None:
    with MockServer(reply) as server:
        cli(*towns, *AGENT, "--base-url", server.url, "--out", "run")
    done = cli("show", "run", "--only", "wrong", "--limit", "1")
    assert "gold: Bert" in done.out
    assert "<search_result>" in done.out
    assert "answer: Anna" in done.out
    assert "gold answer at search 1; over-search" in done.out


@pytest.mark.parametrize("solver", [("model-only",), ("agent:shots=0", "--max-actions", "0")])
def test_show_blames_no_missing_search_where_the_solver_cannot_search(
    cli: Cli, towns: list[str], solver: tuple[str, ...]
) -> None:
    with MockServer(lambda _: "\\boxed{nobody}") as server:
        cli(*towns, "--solver", *solver, "--base-url", server.url, "--out", "run")
    done = cli("show", "run")
    assert done.code == 0, done.err
    assert "answer: nobody" in done.out
    for words in ("under-search", "never shown", "evidence"):
        assert words not in done.out


def test_two_runs_are_compared_question_by_question(cli: Cli, towns: list[str]) -> None:
    with MockServer(reply) as server:
        for out in ("one", "other"):
            cli(*towns, *AGENT, "--base-url", server.url, "--out", out)
    done = cli("compare", "one", "other", "--format", "csv")
    assert done.code == 0, done.err
    assert "em:difference" in done.out
    assert cli("compare", "one", "other", "--scorer", "judge").code == 2
    refused(cli("compare", "one", "./one"), "'one' and 'one' are one run: give two run folders")


def test_trajectories_of_two_runs_are_shown_side_by_side(cli: Cli, towns: list[str]) -> None:
    with MockServer(reply) as server:
        for out in ("one", "other"):
            cli(*towns, *AGENT, "--base-url", server.url, "--out", out)
    done = cli("compare", "one", "other", "--show", "tied", "--limit", "1")
    assert done.code == 0, done.err
    heads, *told = done.out[done.out.index("first: agent:shots=0 (one)") :].splitlines()
    assert "second: agent:shots=0 (other)" in heads
    assert sum(line.split() == ["answer:", "Anna"] * 2 for line in told) == 1
    assert sum(line.count("→ Town 0") == 2 for line in told) == 2
    assert "more with --limit" in done.out
    wrong = cli("compare", "one", "other", "--show", "won", "--out", "table.md")
    refused(wrong, "--show won prints to the terminal")


def test_the_plots_of_a_run_are_files(cli: Cli, towns: list[str]) -> None:
    with MockServer(reply) as server:
        cli(*towns, *AGENT, "--base-url", server.url, "--out", "run")
    done = cli("report", "run", "--plots", "plots")
    assert done.code == 0, done.err
    assert "plots/leaderboard.svg" in done.out.splitlines()
    assert all(Path(line).is_file() for line in done.out.splitlines())
    refused(
        cli("report", "run", "--plots", "p", "--out", "t.md"), "--plots writes files of its own"
    )


def test_a_table_of_runs_that_differ_is_refused_unless_allowed(cli: Cli, towns: list[str]) -> None:
    with MockServer(reply) as server:
        for k in ("2", "3"):
            cli(*towns, *AGENT, "--base-url", server.url, "--top-k", k, "--out", k)
    for command in (("report", "2", "3", "--by", "leaderboard"), ("compare", "2", "3")):
        said = ("top-k (passages per search): 2 [", "--allow-differences")
        refused(cli(*command), "not comparable in one table", *said)
        allowed = cli(*command, "--allow-differences")
        assert allowed.code == 0
        assert "runs differ in top-k" in allowed.out


def test_score_scores_runs_that_differ_and_says_that_they_share_no_table(
    cli: Cli, towns: list[str]
) -> None:
    with MockServer(reply) as server:
        for k in ("2", "3"):
            cli(*towns, *AGENT, "--base-url", server.url, "--top-k", k, "--out", k)
    done = cli("score", "2", "3", "--scorers", "em")
    assert (done.code, done.out) == (0, "")
    assert "All runs are scored" in done.err
    assert load_run(Path("3")).info.scorers == ("em",)


def test_solvers_of_one_command_share_a_table(cli: Cli, towns: list[str]) -> None:
    with MockServer(reply) as server:
        done = cli(*towns, *AGENT, "--solver", "model-only", "--base-url", server.url)
    assert done.code == 0, done.err
    runs = [str(run) for run in Path("results/runs").iterdir()]
    assert cli("report", *runs).code == 0


def test_a_run_is_put_beside_a_row_of_the_paper(cli: Cli, towns: list[str]) -> None:
    with MockServer(reply) as server:
        cli(*towns, *AGENT, "--base-url", server.url, "--out", "run")
        refused(cli("report", "run", "--by", "paper"), "none of these runs' tasks")
        tasks = Path(towns[2]).rename("hotpotqa.jsonl")
        ours = ("run", "--tasks", str(tasks), *towns[3:])
        cli(*ours, *AGENT, "--base-url", server.url, "--out", "hotpot")
    report = ("report", "hotpot", "--by", "paper", "--as")
    done = cli(*report, "hotpot=SFT-stage2", "--format", "csv")
    assert "Table 1 of arXiv 2503.06580: SFT-stage2" in done.out
    assert "0.317" in done.out
    assert cli(*report, "agent:shots=0=SFT-stage2").code == 0
    refused(cli(*report, "SFT-stage2"), "--as takes RUN=ROW")
    refused(cli(*report, "hotpot=SFT", "--as", "hotpot=SFT"), "twice")
    refused(cli(*report, "hotpot=SFT-stage9"), "row of the paper", "SFT-stage1&2&3+RL-stage1")


def test_tasks_lists_every_dataset_with_its_licence(cli: Cli) -> None:
    done = cli("tasks")
    assert all(name in done.out for name in ("nq", "2wikimultihopqa", "bamboogle", "CC0-1.0"))


def test_models_lists_what_installs_by_name(cli: Cli) -> None:
    done = cli("models")
    assert "smollm2-135m-instruct" in done.out
    assert "Apache-2.0" in done.out


def test_models_lists_what_every_engine_can_do(cli: Cli) -> None:
    done = cli("models")
    engines = done.out[done.out.index("Engines") :]
    for word in ("embedded", "openai", "transformers", "vllm", "LoRA", "logprobs", "seeds"):
        assert word in engines
    assert "?" not in engines


HEAVY = {"aiohttp", "asyncio", "bm25s", "numpy", "pandas", "rich", "tabulate", "torch"}

IMPORTED_BY_HELP = """\
import sys
from autocoa_bench.cli import main
sys.argv[1:] = ["--help"]
try:
    main()
finally:
    print("imported:", *{name.partition(".")[0] for name in sys.modules})
"""


def test_help_imports_nothing_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED_BY_HELP], check=True, capture_output=True, text=True
    )
    imported = set(done.stdout.rpartition("imported:")[2].split())
    assert "typer" in imported
    assert not imported & HEAVY


# What a new user gets wrong first.


class SilentServer(ThreadingHTTPServer):
    """A web server that is no model server, and prints nothing of clients that hang up."""

    def handle_error(self, request: object, client_address: object) -> None:
        pass


def test_a_wrong_task(cli: Cli) -> None:
    refused(cli("run", "--tasks", "hotpot"), "unknown task 'hotpot'", "did you mean 'hotpotqa'?")


def test_no_server_at_the_address(cli: Cli, towns: list[str]) -> None:
    refused(
        cli(*towns, *AGENT, "--base-url", "http://127.0.0.1:9"),
        "no model server at http://127.0.0.1:9",
        "--base-url",
    )


def test_something_else_listens_at_the_port(cli: Cli, towns: list[str], tmp_path: Path) -> None:
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path)
    with SilentServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        done = cli(*towns, *AGENT, "--base-url", f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
    refused(done, "does not exist there", "check --base-url")


def test_a_server_that_fails_every_question(cli: Cli, towns: list[str]) -> None:
    with MockServer(reply, fault=lambda number: "400") as server:
        done = cli(*towns, *AGENT, "--base-url", server.url)
    refused(done, "every question of the run failed", "http-400")


def test_no_key(cli: Cli, towns: list[str]) -> None:
    with MockServer(reply, fault=lambda number: "401") as server:
        done = cli(*towns, *AGENT, "--base-url", server.url)
    refused(done, "AUTOCOA_BENCH_API_KEY", "OPENAI_API_KEY")


def test_a_task_file_that_is_not_there(cli: Cli) -> None:
    refused(cli("run", "--tasks", "nowhere/questions.jsonl"), "nowhere/questions.jsonl")


def test_a_malformed_row(cli: Cli) -> None:
    Path("bad.jsonl").write_text('{"id": "1", "question": "q", "golden_answers": ["a"]}\n{"id": \n')
    refused(cli("run", "--tasks", "bad.jsonl"), "bad.jsonl", "2")


def test_a_name_that_is_too_long_for_a_file(cli: Cli) -> None:
    refused(cli("run", "--tasks", "nq", "--corpus", "a" * 300), "as long as 'aaa")


def test_a_full_disk(cli: Cli, towns: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    real_write = os.write

    def full(file: int, data: bytes) -> int:
        if data.startswith(b'{"question"'):
            raise OSError(errno.ENOSPC, "No space left on device")
        return real_write(file, data)

    monkeypatch.setattr(os, "write", full)
    with MockServer(reply) as server:
        done = cli(*towns, *AGENT, "--base-url", server.url)
    refused(done, "the disk is full", "run the same command again")


def test_a_second_run_on_the_folder(cli: Cli, towns: list[str]) -> None:
    holder = RunFolder(Path("run"), info())
    holder.append(answered())
    with MockServer(reply) as server:
        done = cli(*towns, *AGENT, "--base-url", server.url, "--out", "run")
    holder.close()
    refused(done, "is being written by another run", "--out")


def test_a_model_that_the_server_does_not_have(cli: Cli, towns: list[str]) -> None:
    with MockServer(reply, models=("qwen2.5-7b",)) as server:
        done = cli(*towns, *AGENT, "--base-url", server.url, "--model", "qwen2.5")
    refused(done, "'qwen2.5'", "did you mean 'qwen2.5-7b'?")


def test_a_server_that_cuts_prompts_is_one_warning(cli: Cli, towns: list[str]) -> None:
    with MockServer(reply) as server:
        server.alter = lambda body, reply: (
            reply | {"usage": {"prompt_tokens": 30, "completion_tokens": 9}}
        )
        done = cli(*towns, *AGENT, "--base-url", server.url)
    assert " ".join(done.err.split()).count("it cuts prompts to its own context") == 1


def test_a_server_without_a_model_named(cli: Cli, towns: list[str]) -> None:
    with MockServer(reply, models=("qwen2.5-7b",)) as server:
        done = cli(*towns[:-2], *AGENT, "--base-url", server.url)
    refused(done, "no model named", "qwen2.5-7b")


def test_a_key_in_the_address_is_refused_and_not_repeated(cli: Cli, towns: list[str]) -> None:
    for address in ("http://:hunter2@127.0.0.1:9", "http://me:hunter2@127.0.0.1:port"):
        done = cli(*towns, *AGENT, "--base-url", address)
        assert done.code == 2
        assert "hunter2" not in done.err


def test_a_cache_that_cannot_be_made(
    cli: Cli, towns: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("file").write_text("")
    monkeypatch.setenv("AUTOCOA_BENCH_CACHE", "file/cache")
    refused(cli(*towns, *AGENT, "--base-url", "http://127.0.0.1:9"), "AUTOCOA_BENCH_CACHE")


def test_a_key_with_a_line_break_is_refused_and_not_repeated(
    cli: Cli, towns: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "hunter\n2")
    done = cli(*towns, *AGENT, "--base-url", "http://127.0.0.1:9")
    refused(done, "the key in OPENAI_API_KEY")
    assert "hunter" not in done.err


def test_an_endless_temperature(cli: Cli, towns: list[str]) -> None:
    done = cli(*towns, "--temperature", "inf")
    assert done.code == 2
    assert "--temperature" in done.err


def test_no_scorer(cli: Cli, towns: list[str]) -> None:
    refused(cli(*towns, "--scorers", ","), "no scorer was given (known: ")


def test_a_report_written_over_a_runs_records(cli: Cli, towns: list[str]) -> None:
    with MockServer(reply) as server:
        cli(*towns, *AGENT, "--base-url", server.url, "--out", "run")
    before = Path("run/records.jsonl").read_bytes()
    refused(cli("report", "run", "--format", "csv", "--out", "run/records.jsonl"), "choose another")
    assert Path("run/records.jsonl").read_bytes() == before


def test_damaged_scores_are_made_anew(cli: Cli, towns: list[str]) -> None:
    with MockServer(reply) as server:
        cli(*towns, *AGENT, "--base-url", server.url, "--out", "run")
    Path("run/scores.jsonl").write_bytes(b"\xff{")
    assert "50.0" in cli("report", "run").out


def test_another_runs_records_in_the_folder(cli: Cli, towns: list[str]) -> None:
    with MockServer(reply) as server:
        cli(*towns, *AGENT, "--base-url", server.url, "--out", "run")
        record = json.loads(Path("run/records.jsonl").read_text().splitlines()[0])
        record["question"]["id"] = "x"
        del record["crc32"]
        Path("run/records.jsonl").write_text(json.dumps(record) + "\n")
        refused(cli(*towns, *AGENT, "--base-url", server.url, "--out", "run"), "does not plan")


def test_a_terminal_that_knows_only_ascii(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    command = [sys.executable, "-m", "autocoa_bench", "tasks", "show", "hotpotqa"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_reader_that_closes_early(tmp_path: Path) -> None:
    command = f"{sys.executable} -m autocoa_bench tasks show hotpotqa --limit 500 | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("HotpotQA")
    assert "Traceback" not in done.stderr


def test_a_report_file_of_no_known_format(cli: Cli) -> None:
    refused(cli("report", ".", "--out", "table.xlsx"), ".md, .tex, .csv or .json")


def test_a_corpus_without_text(cli: Cli, towns: list[str]) -> None:
    Path("empty.jsonl").write_text(json.dumps({"id": "1", "title": "A"}) + "\n")
    refused(cli(*towns, *AGENT, "--corpus", "empty.jsonl"), "empty.jsonl", "text")


def test_a_search_solver_over_a_file_without_a_corpus(cli: Cli, towns: list[str]) -> None:
    refused(cli(*towns[:3]), "give --corpus")


def test_an_embedded_model_that_does_not_exist(cli: Cli, towns: list[str]) -> None:
    refused(cli(*towns, "--model", "smolm2"), "unknown embedded model 'smolm2'", "--base-url")


def test_a_report_on_something_that_is_no_run(cli: Cli) -> None:
    refused(cli("report", "."), "not a run folder")


def test_two_solvers_into_one_folder(cli: Cli) -> None:
    refused(cli("run", "--solver", "agent", "--solver", "react", "--out", "x"), "--out")
