"""The engine that runs transformers in process, with tiny random models."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import peft
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from autocoa_bench.engines import EngineConfig, RequestOptions
from autocoa_bench.engines.transformers.batch import _Row, _sample
from autocoa_bench.engines.transformers.engine import TransformersEngine, from_options
from autocoa_bench.engines.transformers.kv_cache import KVCache
from autocoa_bench.errors import EngineFault, UserError
from autocoa_bench.types import Completion, Generate, Message, Prompt, Sampling, Turn
from support.tiny import edit_json, random_lora, tiny_model

GREEDY = Sampling()
SEEDED = Sampling(temperature=1.0, top_p=0.95, repetition_penalty=1.1, seed=7)
QUESTIONS = ("a", "What is it, and why?", "Who wrote this and when did they?", "hm", "b" * 60)


class Session:
    """A started engine and the event loop that it lives in."""

    def __init__(self, model: Path, adapter: str = "", parallel: int = 4) -> None:
        self.runner = asyncio.Runner()
        self.engine = TransformersEngine(str(model), adapter=adapter, parallel=parallel)
        self.spec = self.runner.run(self.engine.start())

    def ask(self, *requests: Generate, sampling: Sampling = GREEDY) -> list[Completion]:
        """All requests at once."""

        async def run() -> list[list[Completion]]:
            return await asyncio.gather(*(self.engine.generate(r, sampling) for r in requests))

        return [completion for [completion] in self.runner.run(run())]

    def close(self) -> None:
        self.runner.run(self.engine.close())
        self.runner.close()


def request(question: str, *turns: Turn, tokens: int = 30, stop: tuple[str, ...] = ()) -> Generate:
    return Generate(Prompt((Message("user", question),), turns), stop, tokens)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def session(model: Path) -> Iterator[Session]:
    session = Session(model)
    yield session
    session.close()


def test_weights_have_the_type_that_is_asked_for(model: Path) -> None:
    options = EngineConfig(str(model), "", "auto", concurrency=2, context_tokens=1024)
    engine = from_options(options, dtype="bfloat16")
    with asyncio.Runner() as runner:
        spec = runner.run(engine.start())
        [reply] = runner.run(engine.generate(request("a", tokens=5), GREEDY))
        runner.run(engine.close())
    assert spec.settings["dtype"] == "bfloat16"
    assert reply.token_ids


def test_an_unknown_type_of_weights_is_refused(model: Path) -> None:
    options = EngineConfig(str(model), "", "auto", concurrency=2, context_tokens=1024)
    with pytest.raises(UserError, match="did you mean 'bfloat16'"):
        from_options(options, dtype="bfloat61")


@pytest.mark.parametrize("sampling", [GREEDY, SEEDED])
def test_a_completion_does_not_depend_on_what_else_is_in_the_batch(
    session: Session, sampling: Sampling
) -> None:
    requests = [request(q, tokens=10 + 7 * i) for i, q in enumerate(QUESTIONS)]
    alone = [session.ask(single, sampling=sampling)[0] for single in requests]
    together = session.ask(*requests, sampling=sampling)
    assert [c.token_ids for c in together] == [c.token_ids for c in alone]
    assert len({c.token_ids for c in alone}) > 1


def test_greedy_tokens_are_those_of_transformers_own_generation(
    session: Session, model: Path
) -> None:
    [completion] = session.ask(request(QUESTIONS[1]))
    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    ids = tokenizer(f"<|user|>{QUESTIONS[1]}<|end|><|assistant|>", return_tensors="pt").input_ids
    output = theirs.generate(ids, max_new_tokens=30, do_sample=False)
    expected = output[0, ids.shape[1] :].tolist()
    whole = tokenizer.decode(expected[:-1] if expected[-1] == 256 else expected)
    assert completion.completion_tokens == len(expected)
    assert completion.text == whole.rstrip("\ufffd")


def test_a_stop_string_ends_the_text_and_is_named(session: Session) -> None:
    [whole] = session.ask(request(QUESTIONS[1]), sampling=SEEDED)
    stop = whole.text[5:7]
    [cut] = session.ask(request(QUESTIONS[1], stop=(stop,)), sampling=SEEDED)
    assert (cut.text, cut.stop_string) == (whole.text.partition(stop)[0], stop)
    assert cut.stop_reason == "stop"


def test_a_turn_goes_on_from_its_sampled_ids_and_each_text_on_its_own(session: Session) -> None:
    turns = (Turn("model", "hm", (70, 71, 72)), Turn("environment", "none"))
    [completion] = session.ask(request("a", *turns))
    opening = len("<|user|>a<|end|><|assistant|>".replace("<|user|>", "_").replace("<|end|>", "_"))
    assert completion.prompt_tokens == opening - len("<|assistant|>") + 1 + 3 + len("none")


def test_a_turn_continued_in_pieces_equals_one_written_at_once(
    session: Session, model: Path
) -> None:
    fresh = Session(model, parallel=1)  # it reads the whole prompt
    other = request("Another", Turn("environment", "text"))
    first = session.ask(request(QUESTIONS[2], tokens=12), other)[0]
    turns = (Turn("model", first.text, first.token_ids), Turn("environment", "so"))
    [pieces] = session.ask(request(QUESTIONS[2], *turns))
    [whole] = fresh.ask(request(QUESTIONS[2], *turns))
    fresh.close()
    assert (pieces.token_ids, pieces.prompt_tokens) == (whole.token_ids, whole.prompt_tokens)


def test_samples_differ_by_seed_and_repeat_by_it(session: Session) -> None:
    again = [session.ask(request("a"), sampling=SEEDED)[0].text for _ in range(2)]
    [other] = session.ask(request("a"), sampling=Sampling(1.0, seed=99))
    assert again[0] == again[1] != other.text


def test_more_requests_than_rows_all_come_back(session: Session) -> None:
    assert len(session.ask(*(request(f"q{i}", tokens=5 + i) for i in range(11)))) == 11


def test_a_prompt_beyond_the_models_context_is_a_fault(session: Session) -> None:
    with pytest.raises(EngineFault, match="exceeds the available context"):
        session.ask(request("x" * 600))


def test_memory_that_runs_out_while_a_row_leaves_ends_no_more_than_it(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        monkeypatch.undo()
        raise torch.OutOfMemoryError("no memory")

    monkeypatch.setattr(KVCache, "save", full)
    assert session.ask(request("q"))
    again = session.engine.generate(request("q"), GREEDY)
    assert session.runner.run(asyncio.wait_for(again, timeout=60))


def test_closing_in_the_middle_is_a_fault_of_what_is_in_flight(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session(model, parallel=1)
    logits, batch = KVCache.logits, session.engine._batch
    generating, deadline = asyncio.Event(), time.monotonic() + 60

    def held(cache: KVCache, tokens: list[int], starts: list[int]) -> torch.Tensor:
        session.runner.get_loop().call_soon_threadsafe(generating.set)
        while not batch._is_closed:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        return logits(cache, tokens, starts)

    monkeypatch.setattr(KVCache, "logits", held)

    async def run() -> list[object]:
        tasks = [
            asyncio.create_task(session.engine.generate(request(q, tokens=400), GREEDY))
            for q in QUESTIONS[:2]
        ]
        await generating.wait()
        await session.engine.close()
        return await asyncio.gather(*tasks, return_exceptions=True)

    assert [type(result) for result in session.runner.run(run())] == [EngineFault, EngineFault]
    session.close()


def test_an_adapter_changes_what_is_said_and_stands_in_the_settings(
    session: Session, model: Path, tmp_path: Path
) -> None:
    lora = random_lora(model, tmp_path / "lora", std=0.5)
    adapted = Session(model, str(lora))
    try:
        [completion] = adapted.ask(request(QUESTIONS[1]))
    finally:
        adapted.close()
    assert completion.text != session.ask(request(QUESTIONS[1]))[0].text
    assert adapted.spec.settings["adapter"] == "lora"
    assert "adapter" not in session.spec.settings


def test_a_model_that_is_told_positions_in_another_way_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="type 'bloom' cannot be decoded many prompts at a time"):
        Session(tiny_model(tmp_path, "bloom"))


@pytest.mark.parametrize(("noise", "refused"), [(0.02, False), (0.5, True)])
def test_a_model_is_refused_for_other_logits_and_not_for_rounding(
    model: Path, monkeypatch: pytest.MonkeyPatch, noise: float, refused: bool
) -> None:
    logits = KVCache.logits

    def noisy(cache: KVCache, tokens: list[int], starts: list[int]) -> torch.Tensor:
        torch.manual_seed(0)
        exact = logits(cache, tokens, starts)
        return exact + noise * exact.std() * torch.randn(exact.shape)

    monkeypatch.setattr(KVCache, "logits", noisy)
    with pytest.raises(UserError, match="its logits differ") if refused else nullcontext():
        Session(model).close()


def test_a_model_that_looks_through_a_window_says_what_it_says_by_itself(tmp_path: Path) -> None:
    config = transformers.AutoConfig.from_pretrained(tiny_model(tmp_path, "mistral"))
    config.sliding_window = 8
    theirs = transformers.AutoModelForCausalLM.from_config(config)
    theirs.save_pretrained(tmp_path)
    session = Session(tmp_path)
    completions = session.ask(*(request(q, tokens=12) for q in QUESTIONS))
    session.close()
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for question, completion in zip(QUESTIONS, completions, strict=True):
        text = f"<|user|>{question}<|end|><|assistant|>"
        ids = tokenizer(text, return_tensors="pt").input_ids
        output = theirs.generate(ids, max_new_tokens=12, do_sample=False)
        expected = output[0, ids.shape[1] :].tolist()
        assert completion.completion_tokens == len(expected)
        assert completion.text == tokenizer.decode(
            expected[:-1] if expected[-1] == 256 else expected
        )


def test_a_template_that_writes_nothing_is_refused(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path)
    (folder / "chat_template.jinja").write_text("{# nothing #}")
    with pytest.raises(UserError, match="drops text of message 1"):
        Session(folder)


@pytest.mark.parametrize("threads_variable", ["2", None])
def test_threads_are_those_that_the_environment_gives(
    model: Path, monkeypatch: pytest.MonkeyPatch, threads_variable: str | None
) -> None:
    threads: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if threads_variable:
        monkeypatch.setenv("OMP_NUM_THREADS", threads_variable)
    Session(model).close()
    assert len(threads) == (threads_variable is None)


def test_an_adapter_that_is_no_lora_is_refused(model: Path, tmp_path: Path) -> None:
    loaded = transformers.AutoModelForCausalLM.from_pretrained(model)
    config = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2)
    peft.get_peft_model(loaded, config).save_pretrained(tmp_path)
    with pytest.raises(UserError, match="an adapter of type PROMPT_TUNING; only LoRA"):
        Session(model, str(tmp_path))


def test_an_adapter_of_a_deeper_model_is_refused(model: Path, tmp_path: Path) -> None:
    lora = random_lora(model, tmp_path / "lora")
    file = lora / "adapter_model.safetensors"
    save_file({k.replace(".1.", ".7."): v for k, v in load_file(file).items()}, file)
    with pytest.raises(UserError, match=r"does not fit the model .* of its weights and has"):
        Session(model, str(lora))


def test_an_adapter_that_was_cut_off_is_refused(model: Path, tmp_path: Path) -> None:
    lora = random_lora(model, tmp_path / "lora")
    (lora / "adapter_model.safetensors").write_bytes(b"cut")
    with pytest.raises(UserError, match=r"cannot load .* as a LoRA adapter"):
        Session(model, str(lora))


@pytest.mark.parametrize(
    ("file", "content", "problem"),
    [
        ("model.safetensors", "cut", "cannot load"),
        ("config.json", "[]", "cannot load"),
        ("tokenizer.json", "{}", "cannot load the tokenizer"),
        ("chat_template.jinja", "{% if", "the chat template of .* fails"),
    ],
)
def test_a_damaged_model_is_refused(tmp_path: Path, file: str, content: str, problem: str) -> None:
    folder = tiny_model(tmp_path)
    (folder / file).write_text(content)
    with pytest.raises(UserError, match=problem):
        Session(folder)


def test_a_model_that_lacks_weights_is_refused(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path)
    edit_json(folder / "config.json", num_hidden_layers=3)
    with pytest.raises(UserError, match=r"lacks \d+ of its weights, the first of them .*layers.2"):
        Session(folder)


def test_the_factory_refuses_a_server() -> None:
    with pytest.raises(UserError, match="--base-url"):
        from_options(EngineConfig("m", "http://h:1", "auto", 8, 512))


SPREAD = torch.tensor([0.05, 0.4, 0.3, 0.15, 0.1]).log()
"""The logits of five tokens."""


def drawn(options: RequestOptions, sampled: tuple[int, ...] = (), top_p: float = 1.0) -> set[int]:
    """The tokens that 200 draws from `SPREAD` give."""
    row = _Row([9], request("a"), Sampling(temperature=1.0, top_p=top_p))
    row.ids, row.prompt = [9, *sampled], 1
    return {_sample(row, SPREAD.clone(), options) for _ in range(200)}


@pytest.mark.parametrize(
    ("options", "tokens"),
    [
        (RequestOptions(), {0, 1, 2, 3, 4}),
        (RequestOptions(sampling_top_k=2), {1, 2}),
        (RequestOptions(min_p=0.35), {1, 2, 3}),
        (RequestOptions(min_p=0.35, sampling_top_k=2), {1, 2}),
    ],
)
def test_top_k_and_min_p_cut_the_least_likely_tokens(
    options: RequestOptions, tokens: set[int]
) -> None:
    assert drawn(options) == tokens


def test_top_p_is_a_share_of_what_top_k_leaves() -> None:
    assert drawn(RequestOptions(sampling_top_k=3), top_p=0.8) == {1, 2}


def test_the_presence_penalty_lowers_the_tokens_of_the_completion_alone() -> None:
    row = _Row([2], request("a"), GREEDY)
    row.ids, row.prompt = [2, 1, 1], 1
    options = RequestOptions(presence_penalty=0.5)
    assert _sample(row, SPREAD.clone(), options) == 2
    assert _sample(row, SPREAD.clone(), RequestOptions()) == 1


SWITCH = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    "<|assistant|>{% if enable_thinking is defined and not enable_thinking %}x{% endif %}"
)


def started_with(folder: Path, options: RequestOptions) -> tuple[Completion, dict[str, object]]:
    """A completion of a model with options, and the settings that it records."""
    with asyncio.Runner() as runner:
        config = EngineConfig(str(folder), "", "auto", 1, 256, request=options)
        engine = from_options(config)
        spec = runner.run(engine.start())
        [reply] = runner.run(engine.generate(request("a", tokens=1), GREEDY))
        runner.run(engine.close())
    return reply, dict(spec.settings)


def test_thinking_is_switched_by_the_template(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path)
    (folder / "chat_template.jinja").write_text(SWITCH)
    on, settings = started_with(folder, RequestOptions(thinking="on"))
    off, _ = started_with(folder, RequestOptions(thinking="off"))
    assert settings["thinking"] == "on"
    assert off.prompt_tokens == (on.prompt_tokens or 0) + 1


def test_thinking_is_refused_where_the_template_has_no_switch(model: Path) -> None:
    with pytest.raises(UserError, match="--thinking has no effect on"):
        started_with(model, RequestOptions(thinking="on"))
