"""Real datasets: from a mirror, from the Hub's cache and protocol, and the paper's own samples."""

from __future__ import annotations

import errno
import json
import sys
import tomllib
from collections.abc import Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from autocoa_bench import registry
from autocoa_bench.errors import MissingExtra, UserError
from autocoa_bench.runs.run_folder import load_run
from autocoa_bench.tasks import (
    FileTask,
    Task,
    find_task,
    load_warnings,
    questions_sha256,
    resolve,
    sample,
)
from autocoa_bench.util.hub import MIRROR
from support.commands import caller, refused
from support.mock_server import MockServer
from support.shared_data import SHARED_DATA, needs_shared_data
from tasks import real

PAPER = ("nq", "triviaqa", "hotpotqa", "2wikimultihopqa", "musique", "bamboogle")
REAL: dict[str, Any] = {
    task.info.name: task for task in vars(real).values() if isinstance(task, real.RealTask)
}


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The real tasks alone are registered, and nothing is in a cache."""
    names, load = registry.names, registry.load
    monkeypatch.setattr(
        registry, "names", lambda kind: sorted(REAL) if kind == "tasks" else names(kind)
    )
    monkeypatch.setattr(
        registry, "load", lambda kind, name: REAL[name] if kind == "tasks" else load(kind, name)
    )
    monkeypatch.setenv("AUTOCOA_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(MIRROR, raising=False)


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    folder = tmp_path / "mirror"
    folder.mkdir()
    monkeypatch.setenv(MIRROR, str(folder))
    return folder


def row(identifier: str, **metadata: object) -> dict[str, object]:
    return {
        "id": identifier,
        "question": f"What is {identifier}?",
        "golden_answers": ["A"],
        "metadata": metadata,
    }


def put(folder: Path, name: str, rows: Iterable[dict[str, object]]) -> Path:
    path = folder / f"{name}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def only(spec: str) -> Task:
    [task] = resolve(spec)
    return task


def ids(spec: str, split: Any = "test") -> list[str]:
    return [question.id for question in only(spec).load(split)]


def rows(split: str, count: int) -> list[dict[str, object]]:
    return [row(f"{split}_{number}") for number in range(count)]


# Names


def test_every_real_dataset_is_registered_under_its_name() -> None:
    project = tomllib.loads((Path(real.__file__).parent.parent / "pyproject.toml").read_text())
    entries = project["project"]["entry-points"]["autocoa_bench.tasks"]
    registered = {name: place for name, place in entries.items() if place.startswith("tasks.real:")}
    assert set(registered) == set(REAL)
    for name, place in registered.items():
        assert getattr(real, place.partition(":")[2]) is REAL[name]


def test_a_group_of_real_datasets_stands_in_the_papers_order() -> None:
    assert [task.info.name for task in resolve("paper@paper")] == [f"{n}@paper" for n in PAPER]
    assert [task.info.name for task in resolve("singlehop@all,nq@all")] == [
        "nq@all",
        "triviaqa@all",
    ]
    assert resolve("multihop@20:seed=3")[0].info.name == "hotpotqa@20:seed=3"


def test_a_sample_is_described_before_it_is_loaded() -> None:
    info = only("hotpotqa@paper").info
    assert (info.edition, info.count, info.title) == ("real", 500, "HotpotQA@paper")
    assert info.corpora == {}
    assert only("bamboogle@paper").info.count == 125
    assert only("bamboogle@500").info.count == 125
    assert only("hotpotqa@20").info.count == 20


def test_a_sample_has_one_name_however_it_is_written() -> None:
    spec = "hotpotqa@20,hotpotqa@020,hotpotqa@20:seed=0,hotpotqa@20:seed=00"
    assert [task.info.name for task in resolve(spec)] == ["hotpotqa@20"]


def test_a_report_finds_what_a_run_asked() -> None:
    task = find_task("hotpotqa@20:seed=3")
    assert task is not None
    assert task.info.groups == ("multihop", "paper")
    assert find_task("multihop@paper") is None
    assert find_task("nobody@paper") is None


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("hotpotqaa@paper", "unknown real dataset 'hotpotqaa'; did you mean 'hotpotqa'"),
        ("hotpotqa@papper", "unknown sample of hotpotqa 'papper'; did you mean 'paper'"),
        ("popqa@paper", r"unknown sample of popqa 'paper' \(known: all\); or give a number"),
        ("popqa", "'popqa' has no embedded edition; give the real dataset 'popqa@all'"),
        ("hotpotqa@", "NAME@500:seed=3"),
        ("hotpotqa@0", "nor a number from 1"),
        ("hotpotqa@-5", "NAME@500:seed=3"),
        ("hotpotqa@5.5", "NAME@500:seed=3"),
        ("hotpotqa@٥", "NAME@500:seed=3"),
        ("hotpotqa@500:seed=x", "NAME@500:seed=3"),
        ("hotpotqa@500:sead=3", "NAME@500:seed=3"),
        ("hotpotqa@paper:seed=3", "NAME@500:seed=3"),
        ("hotpotqa@9999999999999", "NAME@500:seed=3"),
        ("@paper", "unknown real dataset ''"),
    ],
)
def test_a_name_that_is_not_understood_is_refused_with_what_is(spec: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        resolve(spec)


# A mirror


def test_the_papers_sample_is_picked_by_id_in_the_papers_order(mirror: Path) -> None:
    count = real.hotpotqa.samples["paper"]
    put(mirror, "hotpotqa/dev", rows("dev", 7_405))
    task = only("hotpotqa@paper")
    questions = task.load()
    assert [question.id for question in questions][:3] == ["dev_5778", "dev_6993", "dev_4102"]
    assert len({question.id for question in questions}) == len(questions) == count == 500
    assert {question.task for question in questions} == {"hotpotqa@paper"}
    assert load_warnings(task) == ()


@pytest.mark.parametrize("name", [*PAPER, "fanoutqa"])
def test_the_papers_ids_are_each_there_once_and_fit_the_split(name: str) -> None:
    task: real.RealTask = REAL[f"{name}@all"]
    paper = task._dataset.paper
    assert paper is not None
    numbers = [int(id_.removeprefix(f"{paper.split}_")) for id_ in task._paper_ids()]
    assert len(set(numbers)) == len(numbers)
    assert max(numbers) < paper.rows


@pytest.mark.real_data
@needs_shared_data
@pytest.mark.parametrize("name", [*PAPER, "fanoutqa"])
def test_the_papers_samples_are_the_papers_questions(mirror: Path, name: str) -> None:
    shared = SHARED_DATA / "paper_test" / f"{name}.jsonl"
    paper_rows = [json.loads(line) for line in shared.read_bytes().splitlines()]
    split = paper_rows[0]["id"].partition("_")[0]
    others = [row(f"{split}_{number}") for number in range(900_000, 900_100)]
    # The mirror is not whole, and for a sample by ids that does not matter.
    mixed = sorted([*paper_rows, *others], key=lambda row: str(row["question"]))
    put(mirror, f"{real.REPOSITORY}/{name}/{split}", mixed)
    task = only(f"{name}@paper")
    questions = task.load()
    assert load_warnings(task) == ()
    assert [(q.id, q.text, q.golden_answers) for q in questions] == [
        (q.id, q.text, q.golden_answers) for q in FileTask(shared).load()
    ]


def test_a_papers_question_that_is_missing_is_named(mirror: Path) -> None:
    put(mirror, "bamboogle/test", rows("test", 124))
    with pytest.raises(UserError, match=r"lacks 1 of the 125 questions.*\(test_124, ...\)"):
        only("bamboogle@paper").load()


def test_all_of_a_dataset_and_its_train_split(mirror: Path) -> None:
    put(mirror, "nq/test", rows("test", 3))
    put(mirror, "nq/train", rows("train", 4))
    put(mirror, "nq/dev", rows("dev", 5))
    assert ids("nq@all") == ["test_0", "test_1", "test_2"]
    assert len(ids("nq@all", "train")) == 4


def test_a_seeded_sample_follows_the_rule_of_limit(mirror: Path) -> None:
    put(mirror, "nq/test", rows("test", 200))
    whole = only("nq@all").load()
    assert ids("nq@30:seed=3") == [question.id for question in sample(whole, 30, 3)]
    assert set(ids("nq@10:seed=3")) < set(ids("nq@30:seed=3")) != set(ids("nq@30"))


def test_a_mirror_that_is_not_whole_is_said(mirror: Path) -> None:
    put(mirror, "bamboogle/test", rows("test", 3))
    task = only("bamboogle@20")
    assert len(task.load()) == 3
    short, few = load_warnings(task)
    assert "bamboogle/test.jsonl holds 3 questions, not 125" in short
    assert "bamboogle@20: the dataset has only 3 questions" in few


def test_the_repositorys_own_folder_comes_first(mirror: Path) -> None:
    put(mirror, "nq/test", rows("plain", 1))
    put(mirror / real.REPOSITORY, "nq/test", rows("full", 1))
    assert ids("nq@all") == ["full_0"]


def test_a_mirror_may_be_a_file_url(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "a mirror"
    put(folder, "nq/test", rows("test", 1))
    monkeypatch.setenv(MIRROR, folder.as_uri())
    assert ids("nq@all") == ["test_0"]


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("/no/such/folder", "is not a folder; set it to the mirror's folder or unset it"),
        ("https://user:secret@example.org/x", r"not https://\.\.\."),
        ("file://elsewhere/x", "file:// URL of this machine"),
    ],
)
def test_a_mirror_that_is_none_is_refused(
    monkeypatch: pytest.MonkeyPatch, location: str, message: str
) -> None:
    monkeypatch.setenv(MIRROR, location)
    with pytest.raises(UserError, match=message) as caught:
        only("nq@all").load()
    assert "secret" not in str(caught.value)


def test_a_file_that_the_mirror_lacks_is_named(mirror: Path) -> None:
    with pytest.raises(UserError, match=r"no nq/test\.jsonl: neither .* put it there, or unset"):
        only("nq@all").load()


def test_another_content_than_at_the_first_load_is_refused(mirror: Path) -> None:
    path = put(mirror, "nq/test", rows("test", 2))
    before = ids("nq@all")
    assert ids("nq@all") == before
    put(mirror, "nq/test", rows("test", 3))
    with pytest.raises(UserError, match="one revision must give the same questions") as caught:
        ids("nq@all")
    assert str(path) in str(caught.value)
    Path(str(caught.value).split("'")[3]).unlink()
    assert len(ids("nq@all")) == 3


def test_a_note_of_the_earlier_version_still_pins_the_content(mirror: Path, tmp_path: Path) -> None:
    put(mirror, "nq/test", rows("test", 2))
    ids("nq@all")
    [note] = (tmp_path / "cache" / "hub").glob("*.json")
    content = json.loads(note.read_text())
    earlier = {**content, "size": 1, "mtime_ns": 2}
    note.write_text(json.dumps(earlier))
    assert len(ids("nq@all")) == 2
    note.write_text(json.dumps(earlier | {"sha256": "0" * 64}))
    with pytest.raises(UserError, match=r"not 0000000000000000\.\.\. as at the first load"):
        ids("nq@all")


def test_a_cache_that_cannot_be_written_is_said(
    mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(mirror, "nq/test", rows("test", 1))

    def refuse(path: Path, data: bytes) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr("autocoa_bench.util.fingerprint.replace_file", refuse)
    with pytest.raises(
        UserError, match=r"cannot be written \(Permission denied\).* or set AUTOCOA_BENCH_CACHE"
    ):
        ids("nq@all")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("bamboogle@all", "'bamboogle@all' has no train split"),
        ("bamboogle@5", "'bamboogle@all' has no train split"),
        ("nq@paper", "is a sample of test questions; for the train split give nq@all"),
    ],
)
def test_a_split_that_is_not_there_is_refused(spec: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        only(spec).load("train")


def test_gold_pages_come_with_the_rows(mirror: Path) -> None:
    facts = {"title": ["Ann Lee", "Dawn", "Ann Lee"], "sent_id": [0, 1, 2]}
    put(mirror, "hotpotqa/dev", [row("dev_0", supporting_facts=facts, type="bridge")])
    [question] = only("hotpotqa@all").load()
    assert (question.gold_titles, question.kind) == (("Ann Lee", "Dawn"), "bridge")


# The Hub


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtra, match=r"autocoa-bench\[hub\]"):
        only("nq@all").load()


def test_a_dataset_that_the_hub_lacks_needs_a_mirror() -> None:
    with pytest.raises(UserError, match=r"fanoutqa/dev\.jsonl' is not among the files.*MIRROR"):
        only("fanoutqa@all").load()


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The snapshot folder of an empty cache of huggingface_hub's, which is told to be offline."""
    pytest.importorskip("huggingface_hub", reason="needs the extra 'hub'")
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    repository = "datasets--" + real.REPOSITORY.replace("/", "--")
    return tmp_path / "hub" / repository / "snapshots" / real.REVISION


def test_offline_what_is_in_the_hubs_cache_is_used(cache: Path) -> None:
    put(cache, "bamboogle/test", rows("test", 125))
    assert len(ids("bamboogle@paper")) == 125


def test_offline_what_is_not_cached_is_refused_with_what_to_do(cache: Path) -> None:
    with pytest.raises(UserError, match=r"HF_HUB_OFFLINE forbids.*autocoa-bench tasks pull"):
        ids("bamboogle@paper")


def test_a_cached_file_of_another_length_than_published_is_refused(cache: Path) -> None:
    put(cache, "bamboogle/test", rows("test", 124))
    with pytest.raises(UserError, match=r"holds 124 questions, not 125 as published; delete"):
        ids("bamboogle@all")


def test_a_cached_file_of_another_hash_than_published_is_refused(cache: Path) -> None:
    put(cache, "hotpotqa/dev", rows("dev", 7_405))
    with pytest.raises(UserError, match=r"not the published 434ec155867019"):
        ids("hotpotqa@paper")


class FakeHub(ThreadingHTTPServer):
    """A server that speaks as much of the Hub's protocol as fetching one file takes."""

    content = b""
    status = 200
    cut = False
    asked: list[tuple[str, str]]


class Handler(BaseHTTPRequestHandler):
    server: FakeHub

    def answer(self) -> None:
        self.server.asked.append((self.command, self.path))
        self.send_response(self.server.status)
        self.send_header("ETag", '"abc"')
        self.send_header("X-Repo-Commit", real.REVISION)
        self.send_header("Content-Length", str(len(self.server.content)))
        self.end_headers()
        if self.command == "GET":
            end = len(self.server.content) // (2 if self.server.cut else 1)
            self.wfile.write(self.server.content[:end])

    do_GET = do_HEAD = answer  # noqa: N815 - the names that the base class calls

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    from huggingface_hub import constants

    with FakeHub(("127.0.0.1", 0), Handler) as server:
        server.asked = []
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        template = url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        yield server
        server.shutdown()


@pytest.mark.slow  # the library tries five times
def test_a_transfer_that_breaks_off_is_told_and_taken_up_again(hub: FakeHub) -> None:
    hub.content = "".join(json.dumps(row) + "\n" for row in rows("test", 125)).encode()
    hub.cut = True
    with pytest.raises(UserError, match=r"cannot fetch bamboogle/test\.jsonl"):
        ids("bamboogle@all")
    hub.cut = False
    assert len(ids("bamboogle@all")) == 125


def test_a_file_is_fetched_from_the_hub_once_and_then_used_offline(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    hub.content = "".join(json.dumps(row) + "\n" for row in rows("test", 125)).encode()
    assert len(ids("bamboogle@paper")) == 125
    place = f"/datasets/{real.REPOSITORY}/resolve/{real.REVISION}/bamboogle/test.jsonl"
    assert ("GET", place) in hub.asked
    asked = len(hub.asked)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert len(ids("bamboogle@20:seed=1")) == 20
    assert len(hub.asked) == asked


@pytest.mark.parametrize(
    ("status", "message"),
    [(401, r"refused \(HTTP 401\); check the token"), (404, "no such file"), (400, "HTTP 400")],
)
def test_a_hub_that_refuses_is_told_without_the_token(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch, status: int, message: str
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secretsecretsecret")
    hub.status = status
    with pytest.raises(UserError, match=message) as caught:
        ids("bamboogle@all")
    assert "hf_secret" not in str(caught.value)
    assert caught.value.__suppress_context__


# The command line


def test_pull_fetches_and_counts(
    mirror: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put(mirror, "bamboogle/test", rows("test", 125))
    put(mirror, "nq/train", rows("train", 4))
    cli = caller(monkeypatch, capsys, "tasks")
    done = cli("pull", "bamboogle@paper,bamboogle@10")
    assert done.code == 0
    assert "bamboogle@paper, test split: 125 questions are here" in done.out
    assert "bamboogle@10, test split: 10 questions are here" in done.out
    assert "holds 4 questions, not 79,168" in cli("pull", "nq@all", "--split", "train").out
    refused(cli("pull", "multihop@paper"), "hotpotqa/dev.jsonl", MIRROR)


def test_the_listing_names_real_datasets_with_their_licences(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = caller(monkeypatch, capsys, "tasks")().out
    for words in ("hotpotqa@all", "CC-BY-SA-4.0", "7405", real.REVISION[:10], "NAME@paper"):
        assert words in out


def test_a_run_over_a_sample_says_which(
    mirror: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    put(mirror, "bamboogle/test", rows("test", 125))
    cli = caller(monkeypatch, capsys)
    tasks = ("--model", "mock", "--tasks", "bamboogle@5:seed=1", "--out", str(tmp_path / "run"))
    with MockServer(lambda _: "\\boxed{A}") as server:
        done = cli("run", "--solver", "model-only", *tasks, "--base-url", server.url)
    assert done.code == 0, done.err
    [asked] = load_run(tmp_path / "run").info.spec.tasks
    assert (asked.task, asked.edition) == ("bamboogle@5:seed=1", "real")
    assert list(asked.question_ids) == ids("bamboogle@5:seed=1")
    assert asked.sha256 == questions_sha256(only("bamboogle@5:seed=1").load())
    assert "Bamboogle@5:seed=1" in done.out
    assert "real edition" in done.out


def test_a_real_task_without_a_corpus_is_told_what_to_give(
    mirror: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put(mirror, "bamboogle/test", rows("test", 125))
    cli = caller(monkeypatch, capsys, "run", "--base-url", "http://127.0.0.1:9")
    done = cli("--solver", "react", "--tasks", "bamboogle@5", "--model", "m")
    refused(done, "none comes with bamboogle@5", "--corpus", "real datasets ask about Wikipedia")
