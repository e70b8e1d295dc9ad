"""Synthesised data in the formats of LLaMA-Factory, TRL and verl.

None of the three is imported, because their version pins exclude each other. Every format holds
the whole text of the turn, so that a trajectory can be rebuilt from it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from agent_model.data.filters import turn_text
from agent_model.data.folder import SynthData
from agent_model.data.pairs import Pair
from autocoa_bench.engines.tokenizer import prompt_text
from autocoa_bench.episode.trajectory import turns_of_steps
from autocoa_bench.errors import UserError, import_extra
from autocoa_bench.types import Message, Question, Record, Turn
from autocoa_bench.util.json_lines import indented_json, replace_file

if TYPE_CHECKING:
    from autocoa_bench.engines.tokenizer import Tokenizer

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
"""The label of a token that is not in the loss."""


def export(
    data: SynthData,
    target: Target,
    out: Path,
    name: str,
    *,
    tokenizer: Tokenizer | None = None,
    observations: bool = False,
) -> list[Path]:
    """Write data for another trainer into a folder; return the files.

    With a `tokenizer`, TRL's rows are token ids, or plain text that is split at the point of choice
    for pairs; `observations` then puts observation tokens into the loss (stage 3). Raises UserError
    if the target has no format for the data, or a file cannot be written.
    """
    if tokenizer is not None and target != "trl":
        raise UserError(f"--tokenizer is only for --to trl, not for {target}")
    if observations and data.pairs:
        raise UserError("--observations has no effect on pairs; leave it out")
    if not (data.records or data.pairs):
        raise UserError("nothing to export: synth kept no data in that folder")
    if Path(name).name != name:
        raise UserError(f"--name must be a file name without extension, not '{name}'")
    try:
        out.mkdir(parents=True, exist_ok=True)
        if target == "llamafactory":
            return _write_llamafactory(data, out, name)
        if target == "verl":
            return _write_verl(data, out, name)
        if tokenizer is None:
            rows = [*map(trl_messages, data.records), *map(trl_pair, data.pairs)]
        else:
            rows = [trl_tokens(item, tokenizer, observations=observations) for item in data.records]
            rows += [trl_pair_text(pair, tokenizer) for pair in data.pairs]
        file = out / f"{name}.jsonl"
        write_lines(file, rows)
        return [file]
    except OSError as error:
        raise UserError(f"cannot write to '{out}': {error.strerror or error}") from None


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a model folder; downloads nothing. Raises UserError."""
    if not folder.is_dir():
        raise UserError(f"there is no folder '{folder}'; give that of a model or a tokenizer")
    transformers = import_extra("transformers", "a tokenizer", "train")
    try:
        return transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read a tokenizer from '{folder}': {error}") from None


def sharegpt(record: Record) -> Row:
    """A trajectory as LLaMA-Factory's turns: human, gpt, observation, gpt, ... gpt.

    Its loader requires human or observation in odd places and gpt in even ones, and keeps
    observations out of the loss. Its templates write chat markers around every turn, unless a
    template with bare slots and `efficient_eos=False` is registered.
    """
    assert record.trajectory is not None
    prefill = Turn("model", record.trajectory.prefill)
    turns = (prefill, *turns_of_steps(record.trajectory.steps))
    opening = _sharegpt_opening(record.trajectory.opening)
    return {"conversations": opening + _alternating(turns)}


def sharegpt_pair(pair: Pair) -> Row:
    """A pair as LLaMA-Factory's ranking data: the conversation, then chosen and rejected.

    The conversation must end with human or observation, so a thought (or prefill) after that is
    moved to the start of both sides. Its log-probability is nearly the same on both.
    """
    turns = _alternating([Turn("model", pair.prefill), *pair.turns])
    start = turns.pop()["value"] if turns and turns[-1]["from"] == "gpt" else ""
    return {
        "conversations": _sharegpt_opening(pair.opening) + turns,
        "chosen": {"from": "gpt", "value": start + pair.chosen},
        "rejected": {"from": "gpt", "value": start + pair.rejected},
    }


def trl_messages(record: Record) -> Row:
    """A trajectory as TRL's prompt and completion; the completion is the whole turn."""
    assert record.trajectory is not None
    return {
        "prompt": _messages(record.trajectory.opening),
        "completion": [{"role": "assistant", "content": turn_text(record)}],
    }


def trl_tokens(record: Record, tokenizer: Tokenizer, *, observations: bool = False) -> Row:
    """A trajectory as TRL's `input_ids` and `labels`: the loss is over the model's own tokens, and
    with `observations` over those of observations too."""
    from agent_model.tokens import Kind, encode

    assert record.trajectory is not None
    encoded = encode(record.trajectory, tokenizer)
    masked = {Kind.PROMPT} if observations else {Kind.PROMPT, Kind.OBSERVATION, Kind.SIMULATED}
    labels = [
        IGNORED if kind in masked else token
        for token, kind in zip(encoded.ids, encoded.kinds, strict=True)
    ]
    return {"input_ids": list(encoded.ids), "labels": labels}


def trl_pair(pair: Pair) -> Row:
    """A pair as TRL's messages; both sides start with the shared part of the turn."""
    shared = pair.context.continuation
    return {
        "prompt": _messages(pair.opening),
        "chosen": [{"role": "assistant", "content": shared + pair.chosen}],
        "rejected": [{"role": "assistant", "content": shared + pair.rejected}],
    }


def trl_pair_text(pair: Pair, tokenizer: Tokenizer) -> Row:
    """A pair as TRL's plain text; the prompt ends where chosen and rejected begin to differ.

    TRL appends an end of turn to both sides, even to a search.
    """
    prompt = prompt_text(pair.context, tokenizer)
    return {"prompt": prompt, "chosen": pair.chosen, "rejected": pair.rejected}


def verl_prompt(question: Question, opening: Sequence[Message], index: int, split: str) -> Row:
    """A question as a row of verl's RL data, with the columns of the paper's files.

    `ground_truth` is always a list; `agent_name` names the agent loop that verl runs.
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


def _write_llamafactory(data: SynthData, out: Path, name: str) -> list[Path]:
    """Write one data file, and add its entry to dataset_info.json."""
    columns = {"messages": "conversations"}
    entry: Row = {"file_name": f"{name}.json", "formatting": "sharegpt"}
    if data.pairs:
        columns |= {"chosen": "chosen", "rejected": "rejected"}
        entry["ranking"] = True
    entry |= {"columns": columns, "tags": _SHAREGPT_TAGS}
    file, index = out / f"{name}.json", out / "dataset_info.json"
    entries = _read_index(index)
    if entries.setdefault(name, entry) != entry:
        raise UserError(f"'{index}' has another data set named '{name}'; give another --name")
    rows = [*map(sharegpt, data.records), *map(sharegpt_pair, data.pairs)]
    replace_file(file, indented_json(rows))
    replace_file(index, indented_json(entries))
    return [file, index]


def _read_index(file: Path) -> Row:
    if not file.exists():
        return {}
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"'{file}' is not JSON ({error}); fix it or give another --out") from None
    if not isinstance(entries, dict):
        raise UserError(f"'{file}' is not an index of data sets; give another --out")
    return entries


def _write_verl(data: SynthData, out: Path, name: str) -> list[Path]:
    """Write `NAME-rl.parquet` with each question once, and `NAME-sft.parquet` with the records."""
    if data.pairs:
        raise UserError("verl has no format for pairs; export them to llamafactory or trl")
    openings = {
        record.key[:2]: (record.question, record.trajectory.opening)
        for record in data.records
        if record.trajectory
    }
    prompts = [
        verl_prompt(question, opening, index, data.info.spec.split)
        for index, (question, opening) in enumerate(openings.values())
    ]
    files = [out / f"{name}-rl.parquet", out / f"{name}-sft.parquet"]
    write_parquet(files[0], prompts)
    # In verl's SFT data, the whole turn is one message.
    rows = map(trl_messages, data.records)
    write_parquet(files[1], [{"messages": row["prompt"] + row["completion"]} for row in rows])
    return files


def write_lines(file: Path, rows: Iterable[Row]) -> None:
    """Write rows as JSON lines, whole or not at all."""
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    replace_file(file, "".join(lines).encode())


def write_parquet(file: Path, rows: Sequence[Row]) -> None:
    """Write rows as Parquet, whole or not at all. Raises MissingExtra."""
    pyarrow = import_extra("pyarrow", f"writing {file.name}", "parquet")
    parquet = import_extra("pyarrow.parquet", f"writing {file.name}", "parquet")
    content = pyarrow.BufferOutputStream()
    parquet.write_table(pyarrow.Table.from_pylist(list(rows)), content)
    replace_file(file, content.getvalue().to_pybytes())


def _messages(opening: Iterable[Message]) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in opening]


def _sharegpt_opening(opening: Iterable[Message]) -> list[dict[str, str]]:
    return [
        {"from": _SHAREGPT_ROLES[message.role], "value": message.content} for message in opening
    ]


def _alternating(turns: Iterable[Turn]) -> list[dict[str, str]]:
    """Turns as gpt, observation, gpt, ...; neighbours of the same author are joined."""
    joined: list[dict[str, str]] = []
    for turn in turns:
        author = "gpt" if turn.source == "model" else "observation"
        if joined and joined[-1]["from"] == author:
            joined[-1]["value"] += turn.text
        elif turn.text:
            joined.append({"from": author, "value": turn.text})
    return joined
