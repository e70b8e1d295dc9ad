"""Chat templates of strangers: what hangs, recurses, fails or floods ends with one sentence."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from autocoa_bench.engines import chat_template
from autocoa_bench.engines.transformers.engine import TransformersEngine
from autocoa_bench.errors import UserError
from tests.support.tiny import TEMPLATE, tiny_model, tiny_tokenizer

MESSAGES = [{"role": "user", "content": "a"}]
LOOPS = "{% for a in range(99999) %}" * 3 + "{% endfor %}" * 3


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return tiny_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(autouse=True)
def short_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_template, "SECONDS", 0.05)
    monkeypatch.setattr(chat_template, "LONGEST", 1000)
    monkeypatch.setattr(chat_template, "MEMORY", 200 << 20)


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        (LOOPS, "does not end"),
        ("{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}", "does not end"),
        ("{% macro f(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}{% endmacro %}{{ f(40) }}",
         "does not end"),
        ("{{ 'a' * 9999999999999999 }}", "needs more memory"),
        ("{{ 'a' * 10**10 }}", "needs more memory"),
        ("{{ 'a'|center(10**10) }}", "needs more memory"),
        ("{{ '%2000000000d' % 1 }}", "needs more memory"),
        ("{% set n = namespace(s='a') %}"
         "{% for i in range(60) %}{% set n.s = n.s ~ n.s %}{% endfor %}",
         "needs more memory|does not end"),
        ("{{ 9**(9**9) % 7 }}", "does not end"),
        ("{% if 'a' in (7**9999999)|string %}{% endif %}", "does not end"),
        ("{{ 'a' * 1001 }}", "writes more than"),
        ("{{ raise_exception('System role not supported') }}", "fails: System role not supported"),
        ("{{ ''.__class__.__mro__ }}", "fails"),
        ("{{ messages[9].content }}", "fails"),
        ("{% if", "fails"),
    ],
)  # fmt: skip
def test_a_template_that_hangs_or_fails_is_one_sentence(
    tokenizer: Any, template: str, problem: str
) -> None:
    tokenizer.chat_template = template
    with pytest.raises(UserError, match=problem) as caught:
        chat_template.render(tokenizer, MESSAGES)
    assert len(str(caught.value).splitlines()) == 1


def test_a_thread_other_than_the_main_one_is_stopped_as_well(tokenizer: Any) -> None:
    tokenizer.chat_template = LOOPS
    problems: list[str] = []

    def run() -> None:
        with pytest.raises(UserError) as caught:
            chat_template.render(tokenizer, MESSAGES)
        problems.append(str(caught.value))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert "does not end" in problems[0]


def test_a_template_that_ends_in_time_is_rendered(tokenizer: Any) -> None:
    tokenizer.chat_template = TEMPLATE
    text = chat_template.render(tokenizer, MESSAGES, open_turn=True)
    assert text == "<|user|>a<|end|><|assistant|>"
    assert chat_template.render(tokenizer, MESSAGES) == "<|user|>a<|end|>"


def test_a_model_whose_template_hangs_stops_the_start(tmp_path: Path) -> None:
    (tiny_model(tmp_path) / "chat_template.jinja").write_text(LOOPS)
    with pytest.raises(UserError, match="does not end"):
        asyncio.run(TransformersEngine(str(tmp_path)).start())
