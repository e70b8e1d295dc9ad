"""A judge's means corrected for its errors, and its audit under the tables."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
import pytest

from autocoa_bench.judge.agreement import Audit, Confusion, Label, SavedAudit, save_audit
from autocoa_bench.runs.run_folder import load_run
from autocoa_bench.stats import Estimate, corrected, estimate, scaled, wilson
from support.commands import Cli, caller, refused
from support.judges import exact, judge_spec
from support.mock_server import MockServer
from support.runs import answered, info, write_run


def share(right: int, n: int) -> Estimate:
    return Estimate(right / n, *wilson(right, n), n, n)


def test_the_estimate_is_rogan_and_gladens() -> None:
    """50 % called right, sensitivity 0.9, specificity 0.8: (0.5 + 0.8 - 1) / (0.9 + 0.8 - 1)."""
    share_ = corrected(share(50, 100), (90, 100), (80, 100))
    assert share_.mean == pytest.approx(0.3 / 0.7)
    assert (share_.n, share_.planned) == (100, 100)


def test_the_interval_is_lang_and_reiczigels() -> None:
    """By hand with z = 1.96: p' = 0.5, n' = 103.84, Se' = 91/102, Sp' = 81/102.

    P' = 0.294118 / 0.686275 = 0.428571. The parts of the variance: 0.5 * 0.5 / 103.84 = 0.0024075,
    P'^2 Se'(1 - Se') / 102 = 0.183673 * 0.000943208 = 0.000173242, and
    (1 - P')^2 Sp'(1 - Sp') / 102 = 0.326531 * 0.00160306 = 0.000523448; their sum 0.00310419 over
    0.686275^2 is 0.00659103, its root 0.0811852. The shift is 2 * 3.84146 * (0.428571 * 0.000943208
    - 0.571429 * 0.00160306) = -0.00393234. So -0.0039 + 0.4286 -+ 0.1591: 0.2655 to 0.5838.
    """
    share_ = corrected(share(50, 100), (90, 100), (80, 100))
    assert (share_.low, share_.high) == (
        pytest.approx(0.2655, abs=2e-4),
        pytest.approx(0.5838, abs=2e-4),
    )


def test_a_perfect_judge_changes_next_to_nothing_and_limits_stay_in_range() -> None:
    plain = share(30, 100)
    share_ = corrected(plain, (10_000, 10_000), (10_000, 10_000))
    assert share_.mean == pytest.approx(0.3)
    assert share_.low == pytest.approx(plain.low, abs=0.002)
    assert share_.high == pytest.approx(plain.high, abs=0.002)
    none = corrected(share(2, 100), (90, 100), (80, 100))
    assert (none.mean, none.low) == (0.0, 0.0)
    every = corrected(share(99, 100), (90, 100), (80, 100))
    assert (every.mean, every.high) == (1.0, 1.0)
    assert corrected(estimate([]), (1, 2), (2, 2)).mean is None


def test_a_share_without_answers_is_wrong_whatever_the_judge() -> None:
    """Half answered, half of that right: 0.25, with 0.5 * 0.1 from either side in quadrature."""
    half = Estimate(0.5, 0.4, 0.6, 100, 100)
    share_ = scaled(half, half)
    assert share_.mean == 0.25
    assert (share_.low, share_.high) == (
        pytest.approx(0.1793, abs=1e-4),
        pytest.approx(0.3207, abs=1e-4),
    )
    none = scaled(estimate([]), share(0, 50))
    assert (none.mean, none.low, none.high) == (0.0, 0.0, share(0, 50).high)


def test_only_what_was_judged_is_corrected(cli: Cli) -> None:
    """30 of 60 answers called right, 60 more questions without one: 0.5 * 0.3 / 0.7."""
    answers = ["Anna"] * 30 + ["Bert"] * 30 + [None] * 60
    records = [answered(number, answer) for number, answer in enumerate(answers, 1)]
    write_run(Path("half"), info(ids=tuple(f"q{n}" for n in range(1, 121))), records)
    with MockServer(exact) as server:
        judge = ("--judge", "mock", "--judge-base-url", server.url)
        assert cli("score", "half", *judge).code == 0
    done = cli("report", "half", "--judge-audit", "audit.json", "--format", "csv")
    [row] = [line for line in done.out.splitlines() if "judge:corrected" in line]
    assert "0.2142857" in row


def test_a_smaller_audit_leaves_more_open() -> None:
    small, large = (corrected(share(50, 100), (9 * k, 10 * k), (8 * k, 10 * k)) for k in (2, 200))
    assert (small.high or 0) - (small.low or 0) > 1.5 * ((large.high or 0) - (large.low or 0))


@pytest.mark.parametrize(
    ("true", "se", "sp", "audited"),
    [(0.4, 0.9, 0.85, 100), (0.1, 0.8, 0.95, 60), (0.8, 0.95, 0.7, 40)],
)
def test_the_interval_covers_the_truth_as_often_as_it_says(
    true: float, se: float, sp: float, audited: int
) -> None:
    chance = random.Random(5)
    draws, covered = 600, 0

    def hits(p: float, n: int) -> int:
        return sum(chance.random() < p for _ in range(n))

    for _ in range(draws):
        right = hits(true, 150)
        judged = share(hits(se, right) + hits(1 - sp, 150 - right), 150)
        share_ = corrected(judged, (hits(se, audited), audited), (hits(sp, audited), audited))
        covered += (share_.low or 0) <= true <= (share_.high or 0)
    assert 0.93 <= covered / draws <= 0.985


def judged(path: str, url: str, cli: Cli) -> None:
    answers = ["Anna"] * 30 + ["Bert"] * 30
    records = [answered(number, answer) for number, answer in enumerate(answers, 1)]
    write_run(Path(path), info(ids=tuple(f"q{n}" for n in range(1, 61))), records)
    assert cli("score", path, "--judge", "mock", "--judge-base-url", url).code == 0


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Beside a run judged half right, and its judge's audit: sensitivity 0.9, specificity 0.8."""
    monkeypatch.chdir(tmp_path)
    call = caller(monkeypatch, capsys)
    with MockServer(exact) as server:
        judged("run", server.url, call)
    judge = load_run(Path("run")).info.judge
    assert judge is not None
    save_audit(Path("audit.json"), judge, "labels.jsonl", audit(90, 10, 20, 80))
    save_audit(Path("other.json"), judge_spec("gpt-4o"), "labels.jsonl", audit(90, 10, 20, 80))
    save_audit(Path("chance.json"), judge, "labels.jsonl", audit(50, 50, 50, 50))
    return call


def audit(both_right: int, missed: int, wrongly: int, both_wrong: int) -> Audit:
    kinds = [(both_right, True, True), (missed, True, False)]
    kinds += [(wrongly, False, True), (both_wrong, False, False)]
    labels = [Label("q", ("x",), "x", right) for n, right, _ in kinds for _ in range(n)]
    return Audit(tuple(labels), tuple(problem for n, _, problem in kinds for _ in range(n)))


def test_an_audit_stands_under_the_tables_and_corrects_the_means(cli: Cli) -> None:
    for command in (("report", "run", "--by", "leaderboard"), ("score", "run")):
        done = cli(*command, "--judge-audit", "audit.json")
        assert done.code == 0, done.err
        words = " ".join(done.out.split())
        assert "agreement with 200 labelled answers (labels.jsonl) 85.0 % (79–89)" in words
        assert "kappa 0.70 (0.60 to 0.80)" in words
        assert "42.9" in words
        assert "Rogan and Gladen 1978" in words


def test_corrected_means_are_data_too_and_on_the_page(cli: Cli) -> None:
    options = ("report", "run", "--by", "leaderboard", "--judge-audit", "audit.json")
    assert ",judge:corrected,toy,,,0.42857" in cli(*options, "--format", "csv").out
    assert cli(*options, "--html", "page.html").code == 0
    assert "corrected for its errors" in Path("page.html").read_text()


@pytest.mark.parametrize(
    ("file", "problem"),
    [
        (
            "other.json",
            "the audit is for a different judge from the one in agent: they differ in engine",
        ),
        ("chance.json", "no better than chance"),
        ("none.json", "there is no audit 'none.json'"),
    ],
)
def test_an_audit_that_says_nothing_of_the_judge_is_refused(
    cli: Cli, file: str, problem: str
) -> None:
    refused(cli("report", "run", "--judge-audit", file), problem)


def test_an_audit_needs_a_judged_run(cli: Cli) -> None:
    assert cli("score", "run", "--scorers", "em").code == 0
    refused(cli("report", "run", "--judge-audit", "audit.json"), "score with --judge first")


def test_an_audit_that_ships_with_the_prompt_stands_under_the_tables_of_its_judge_alone(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autocoa_bench.judge.prompts import TextPrompt

    audits = (Path("audit.json"), Path("other.json"))
    shipped = property(lambda _: audits, lambda *_: None)
    monkeypatch.setattr(TextPrompt, "audits", shipped, raising=False)
    words = " ".join(cli("report", "run", "--by", "leaderboard").out.split())
    assert "85.0 % (79–89)" in words
    assert "gpt-4o" not in words
    assert "corrected" not in words


def test_a_saved_audit_is_read_as_it_was_written(cli: Cli) -> None:
    saved = msgspec.json.decode(Path("audit.json").read_bytes(), type=SavedAudit)
    assert saved.counts == Confusion(90, 10, 20, 80)
    assert len(saved.labels_sha256) == 64
