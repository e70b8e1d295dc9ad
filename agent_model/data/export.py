"""Synthesised data in the formats of LLaMA-Factory, TRL and verl.

None of the three is imported: their version pins exclude each other, so files are exchanged.
Every format holds the turn's text whole, so that a trajectory can be rebuilt from it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from agent_model.data.filters import turn_text
from agent_model.data.folder import SynthData
from agent_model.data.pairs import Pair
from autocoa_bench.errors import MissingExtra, UserError
from autocoa_bench.types import Message, Question, Record, Turn
from autocoa_bench.util.json_lines import replace_file

if TYPE_CHECKING:
    from agent_model.tokens import Tokenizer

Target = Literal["llamafactory", "trl", "verl"]

Row = dict[str, Any]

_SHAREGPT_TAGS = {
    "role_tag": "from",
    "content_tag": "value",
    "user_tag": "human",
    "assistant_tag": "gpt",
    "observation_tag": "observation",
    "function_tag": "function_call",
    "system_tag": "system",
}
_SHAREGPT_ROLES = {"system": "system", "user": "human", "assistant": "gpt"}

IGNORED = -100
"""The label of a token that enters no loss."""


def export(
    data: SynthData,
    target: Target,
    out: Path,
    name: str,
    *,
    tokenizer: Tokenizer | None = None,
    observations: bool = False,
) -> list[Path]:
    """Write data for another trainer into a folder; returns the files.

    `tokenizer` makes TRL's rows pre-tokenised (pairs: plain text that begins at the point where
    they part); `observations` then puts observation tokens into the loss (stage 3). Raises
    UserError for what the target has no format for, and when the disk refuses.
    """
    writers: dict[Target, Callable[[], list[Path]]] = {
        "llamafactory": lambda: _llamafactory(data, out, name),
        "trl": lambda: _trl(data, out, name, tokenizer, observations=observations),
        "verl": lambda: _verl(data, out, name),
    }
    if tokenizer is not None and target != "trl":
        raise UserError(f"a tokenizer is of use for trl alone, and --to is {target}")
    if observations and data.pairs:
        raise UserError("pairs part before any observation enters a loss: leave --observations out")
    if not (data.records or data.pairs):
        raise UserError("there is nothing to export: synth kept no data there")
    if Path(name).name != name:
        raise UserError(f"--name is a file's name without its ending, not '{name}'")
    try:
        out.mkdir(parents=True, exist_ok=True)
        return writers[target]()
    except OSError as error:
        raise UserError(f"cannot write to '{out}': {error.strerror or error}") from None


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a model's folder; nothing is downloaded. Raises UserError."""
    if not folder.is_dir():
        raise UserError(f"there is no folder '{folder}'; give that of a model or its tokenizer")
    try:
        from transformers import AutoTokenizer
    except ImportError as error:
        raise MissingExtra("a tokenizer", "train") from error
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise UserError(f"no tokenizer can be read from '{folder}': {error}") from None


def sharegpt(record: Record) -> Row:
    """A trajectory as LLaMA-Factory's turns: human, gpt, observation, gpt, ... gpt.

    Its loader wants human or observation in odd places and gpt in even ones; a trajectory whose
    steps all are searches but the last is of that form by itself. It keeps observations out of
    the loss; its templates write chat markers around every turn unless one with bare slots and
    `efficient_eos=False` is registered.
    """
    assert record.trajectory is not None
    turns = [Turn("model", record.trajectory.prefill)]
    for step in record.trajectory.steps:
        turns += [Turn("model", step.text), Turn("environment", step.observation)]
    opening = _sharegpt_opening(record.trajectory.opening)
    return {"conversations": opening + _alternating(turns)}


def sharegpt_pair(pair: Pair) -> Row:
    """A pair as LLaMA-Factory's ranking data: the conversation, then chosen and rejected.

    The conversation has to end with human or observation. A thought (or the prefill) that both
    sides share after that opens either side: its log-probability is nearly the same for both.
    """
    said = _alternating([Turn("model", pair.prefill), *pair.turns])
    begun = said.pop()["value"] if said and said[-1]["from"] == "gpt" else ""
    return {
        "conversations": _sharegpt_opening(pair.opening) + said,
        "chosen": {"from": "gpt", "value": begun + pair.chosen},
        "rejected": {"from": "gpt", "value": begun + pair.rejected},
    }


def trl_messages(record: Record) -> Row:
    """A trajectory as TRL's prompt and completion; the completion is the whole turn."""
    assert record.trajectory is not None
    return {
        "prompt": _messages(record.trajectory.opening),
        "completion": [{"role": "assistant", "content": turn_text(record)}],
    }


def trl_tokens(record: Record, tokenizer: Tokenizer, *, observations: bool = False) -> Row:
    """A trajectory as TRL's `input_ids` and `labels`: the loss is over the model's own tokens,
    and over those of observations where asked."""
    from agent_model.tokens import Kind, encode

    assert record.trajectory is not None
    encoded = encode(record.trajectory, tokenizer)
    masked = {Kind.PROMPT} if observations else {Kind.PROMPT, Kind.OBSERVATION, Kind.SIMULATED}
    pairs = zip(encoded.ids, encoded.kinds, strict=True)
    labels = [IGNORED if kind in masked else token for token, kind in pairs]
    return {"input_ids": list(encoded.ids), "labels": labels}


def trl_pair(pair: Pair) -> Row:
    """A pair as TRL's messages: what both sides share of the turn opens either side."""
    shared = pair.context.continuation
    return {
        "prompt": _messages(pair.opening),
        "chosen": [{"role": "assistant", "content": shared + pair.chosen}],
        "rejected": [{"role": "assistant", "content": shared + pair.rejected}],
    }


def trl_pair_text(pair: Pair, tokenizer: Tokenizer) -> Row:
    """A pair as TRL's plain text, in which the prompt reaches to the point of parting.

    TRL puts an end of turn after either side, an action's too.
    """
    rendered = tokenizer.apply_chat_template(
        _messages(pair.opening), add_generation_prompt=True, tokenize=False
    )
    prompt = rendered + pair.context.continuation
    return {"prompt": prompt, "chosen": pair.chosen, "rejected": pair.rejected}


def verl_prompt(question: Question, opening: Sequence[Message], index: int, split: str) -> Row:
    """A question as a row of verl's reinforcement learning, in the columns of the paper's files.

    `ground_truth` is always a list; verl runs the agent loop that `agent_name` names.
    """
    return {
        "id": question.id,
        "data_source": question.task,
        "prompt": _messages(opening),
        "ability": "QA",
        "reward_model": {"ground_truth": list(question.golden_answers), "style": "rule"},
        "extra_info": {
            "id": question.id,
            "index": index,
            "question": question.text,
            "split": split,
        },
        "agent_name": "autocoa",
    }


def verl_messages(record: Record) -> Row:
    """A trajectory as a row of verl's supervised fine-tuning: its whole turn is one message."""
    row = trl_messages(record)
    return {"messages": row["prompt"] + row["completion"]}


def _llamafactory(data: SynthData, out: Path, name: str) -> list[Path]:
    """One data file, and its entry in dataset_info.json beside those that are there."""
    columns = {"messages": "conversations"}
    entry: Row = {"file_name": f"{name}.json", "formatting": "sharegpt"}
    if data.pairs:
        columns |= {"chosen": "chosen", "rejected": "rejected"}
        entry["ranking"] = True
    index = out / "dataset_info.json"
    known = _read_index(index) if index.exists() else {}
    entry |= {"columns": columns, "tags": _SHAREGPT_TAGS}
    if known.setdefault(name, entry) != entry:
        raise UserError(f"'{index}' has another data set of the name '{name}'; give another --name")
    rows = [*map(sharegpt, data.records), *map(sharegpt_pair, data.pairs)]
    file = out / f"{name}.json"
    _write_json(file, rows)
    _write_json(index, known)
    return [file, index]


def _trl(
    data: SynthData, out: Path, name: str, tokenizer: Tokenizer | None, *, observations: bool
) -> list[Path]:
    if tokenizer is None:
        rows = [*map(trl_messages, data.records), *map(trl_pair, data.pairs)]
    else:
        rows = [trl_tokens(each, tokenizer, observations=observations) for each in data.records]
        rows += [trl_pair_text(pair, tokenizer) for pair in data.pairs]
    file = out / f"{name}.jsonl"
    write_lines(file, rows)
    return [file]


def _verl(data: SynthData, out: Path, name: str) -> list[Path]:
    """`-rl`: the questions, each once. `-sft`: the trajectories."""
    if data.pairs:
        raise UserError("verl has no format for pairs; export them to llamafactory or trl")
    asked = {
        (record.question.task, record.question.id): (record.question, record.trajectory.opening)
        for record in data.records
        if record.trajectory
    }
    split = data.info.spec.split
    prompts = [
        verl_prompt(question, opening, index, split)
        for index, (question, opening) in enumerate(asked.values())
    ]
    files = [out / f"{name}-rl.parquet", out / f"{name}-sft.parquet"]
    write_parquet(files[0], prompts)
    write_parquet(files[1], [verl_messages(record) for record in data.records])
    return files


def write_lines(file: Path, rows: Iterable[Row]) -> None:
    """Write rows as JSON lines, whole or not at all."""
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    replace_file(file, "".join(lines).encode())


def write_parquet(file: Path, rows: Sequence[Row]) -> None:
    """Write rows whole or not at all. Raises MissingExtra."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtra(f"writing {file.name}", "parquet") from error
    content = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), content)
    replace_file(file, content.getvalue().to_pybytes())


def _write_json(file: Path, content: object) -> None:
    replace_file(file, (json.dumps(content, ensure_ascii=False, indent=2) + "\n").encode())


def _read_index(file: Path) -> Row:
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(
            f"'{file}' is not JSON ({error}); mend it or choose another --out"
        ) from None
    if not isinstance(known, dict):
        raise UserError(f"'{file}' is no index of data sets; choose another --out")
    return known


def _messages(opening: Iterable[Message]) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in opening]


def _sharegpt_opening(opening: Iterable[Message]) -> list[dict[str, str]]:
    return [{"from": _SHAREGPT_ROLES[each.role], "value": each.content} for each in opening]


def _alternating(turns: Iterable[Turn]) -> list[dict[str, str]]:
    """gpt, observation, gpt, ...: neighbours by the same writer are one."""
    said: list[dict[str, str]] = []
    for turn in turns:
        who = "gpt" if turn.source == "model" else "observation"
        if said and said[-1]["from"] == who:
            said[-1]["value"] += turn.text
        elif turn.text:
            said.append({"from": who, "value": turn.text})
    return said
