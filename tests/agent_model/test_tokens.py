"""Trajectories as tokens: pieces, kinds, and the audit of masks."""

from contextlib import nullcontext
from typing import Any

import msgspec
import pytest
from tokenizers import decoders, normalizers, pre_tokenizers

from agent_model.data.pairs import Pair
from agent_model.dialects import Agent, ReSearch, SearchO1
from agent_model.nano.tokenizer import make_tokenizer as make_words
from agent_model.tokens import (
    Encoded,
    Kind,
    MaskLeak,
    audit,
    audit_pair,
    encode,
    encode_pair,
    encode_sampled,
    end_of_turn,
    retokenisation_drift,
)
from agent_model.training.masks import TRAINED_KINDS
from autocoa_bench.engines.tokenizer import prompt_ids
from autocoa_bench.episode import Dialect
from autocoa_bench.errors import UserError
from autocoa_bench.types import Completion, Generate, Message, Prompt, Step, Trajectory, Turn
from baselines.rag import RAG
from support.play import play
from support.tiny_llm import forced, make_tokenizer, pair, searched, thought


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return make_tokenizer()


def spelled(encoded: Encoded, kind: Kind, tokenizer: Any) -> str:
    """The text of all tokens of one kind."""
    pairs = zip(encoded.ids, encoded.kinds, strict=True)
    return str(tokenizer.decode([token for token, label in pairs if label is kind]))


def trained(encoded: Encoded, stage: str) -> list[bool]:
    return [kind in TRAINED_KINDS[stage] for kind in encoded.kinds]


def test_every_kind_of_token_spells_what_its_author_wrote(tokenizer: Any) -> None:
    trajectory = searched()
    encoded = encode(trajectory, tokenizer)
    written = "".join(step.observation for step in trajectory.steps)
    assert spelled(encoded, Kind.OBSERVATION, tokenizer) == written
    searches = "<begin_search> builder 0 </end_search><begin_search> place </end_search>"
    assert spelled(encoded, Kind.ACTION, tokenizer) == searches
    thoughts = "I need the builder of tower 0.\nNow é, the place. 😀\nIt is Anna.\n</think>"
    assert spelled(encoded, Kind.THOUGHT, tokenizer) == thoughts
    assert spelled(encoded, Kind.ANSWER, tokenizer) == "\n\n\\boxed{Anna}<|im_end|>"
    assert spelled(encoded, Kind.PROMPT, tokenizer).endswith("<|im_start|>assistant\n<think>\n")


@pytest.mark.parametrize(
    ("dialect", "replies"),
    [
        (RAG(), ["It says so.</think> \\boxed{Anna}"]),
        (
            SearchO1(),
            [
                "Hm. <|begin_search_query|> tower <|end_search_query|>",
                Completion("**Final Information**\nBy her.", token_ids=(5, 6), sampled_ids=(5, 6)),
                "So.</think> \\boxed{Anna}",
            ],
        ),
        (
            ReSearch(preset="instruct"),
            ["<search> tower </search>", "<answer> It is \\boxed{Anna} </answer>"],
        ),
    ],
)
def test_what_a_search_returned_is_prompt_or_observation_wherever_it_is_shown(
    dialect: Dialect, replies: list[str | Completion], tokenizer: Any
) -> None:
    trajectory, _ = play(dialect, replies)
    encoded, *branches = encode_sampled(trajectory, tokenizer)
    assert not branches
    assert encode(trajectory, tokenizer).kinds[: len(encoded.kinds)] == encoded.kinds
    written = "".join(step.observation for step in trajectory.steps)
    assert spelled(encoded, Kind.OBSERVATION, tokenizer) == written
    sampled = "".join(step.text for step in trajectory.steps)
    kinds = (Kind.THOUGHT, Kind.ACTION, Kind.ANSWER)
    own = "".join(spelled(encoded, kind, tokenizer) for kind in kinds)
    assert sorted(own.replace("<|im_end|>", "")) == sorted(sampled)
    audit(encoded, trained(encoded, "sft2"), TRAINED_KINDS["sft2"], trajectory, tokenizer)


def test_the_prompt_opens_with_one_special_token(tokenizer: Any) -> None:
    ids = encode(searched(), tokenizer).ids
    assert ids[0] == tokenizer.bos_token_id
    assert ids[1] != tokenizer.bos_token_id


def test_an_end_of_turn_follows_a_teachers_answer_but_no_action(tokenizer: Any) -> None:
    encoded = encode(searched(), tokenizer)
    end = end_of_turn(tokenizer)
    pairs = list(zip(encoded.ids, encoded.kinds, strict=True))
    after_prompt = [token for token, kind in pairs if kind is not Kind.PROMPT]
    assert after_prompt.count(end) == 1
    assert pairs[-1] == (end, Kind.ANSWER)


def test_sampled_ids_are_kept_as_they_were_sampled(tokenizer: Any) -> None:
    trajectory = thought()
    [step] = trajectory.steps
    letters = [tokenizer(char, add_special_tokens=False).input_ids[0] for char in step.text]
    sampled = msgspec.structs.replace(step, token_ids=(*letters, tokenizer.eos_token_id))
    encoded = encode(msgspec.structs.replace(trajectory, steps=(sampled,)), tokenizer)
    assert encoded.ids[-len(letters) - 1 :] == (*letters, tokenizer.eos_token_id)


def test_an_answer_sampled_without_its_end_gets_one(tokenizer: Any) -> None:
    trajectory = thought()
    [step] = trajectory.steps
    ids = tuple(tokenizer(step.text, add_special_tokens=False).input_ids)
    bare = msgspec.structs.replace(step, token_ids=ids)
    encoded = encode(msgspec.structs.replace(trajectory, steps=(bare,)), tokenizer)
    assert encoded.ids[-len(ids) - 1 :] == (*ids, end_of_turn(tokenizer))
    assert encoded.kinds[-1] is Kind.ANSWER


def test_an_end_of_turn_that_was_not_sampled_can_be_left_out(tokenizer: Any) -> None:
    end, trajectory = end_of_turn(tokenizer), thought()
    [step] = trajectory.steps
    ids = tuple(tokenizer(step.text, add_special_tokens=False).input_ids)
    for sampled in (ids, (*ids, end)):
        known = msgspec.structs.replace(step, token_ids=sampled)
        played = msgspec.structs.replace(trajectory, steps=(known,))
        assert encode_sampled(played, tokenizer)[0].ids[-len(sampled) :] == sampled


def test_a_trajectory_has_the_tokens_that_its_last_prompt_had() -> None:
    joining = make_tokenizer()  # the end of one text and the beginning of the next in one token
    joining.backend_tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(False, use_regex=False)
    made, events = play(Agent(shots=0), ["", "", "Anna}"])  # nudged and forced without a word
    assert isinstance(events[-1], Generate)
    prompt = prompt_ids(events[-1].prompt, joining)
    assert encode(made, joining).ids[: len(prompt)] == prompt


def test_a_prompt_keeps_sampled_ids_and_reads_the_environment_in_one_piece(tokenizer: Any) -> None:
    odd = tuple(tokenizer(letter, add_special_tokens=False).input_ids[0] for letter in "ab")
    said = (Turn("environment", "found"), Turn("environment", " it"))
    prompt = Prompt((Message("user", "?"),), (Turn("model", "ab", odd), *said))
    ids = prompt_ids(prompt, tokenizer)
    whole = tuple(tokenizer("found it", add_special_tokens=False).input_ids)
    assert ids[-len(odd + whole) :] == odd + whole


def test_ids_that_do_not_spell_the_text_are_not_used(tokenizer: Any) -> None:
    trajectory = thought()
    step = msgspec.structs.replace(trajectory.steps[0], token_ids=(5, 6, 7))
    changed = msgspec.structs.replace(trajectory, steps=(step,))
    assert encode(changed, tokenizer) == encode(trajectory, tokenizer)


def test_the_text_that_forces_an_answer_is_an_observation(tokenizer: Any) -> None:
    trajectory = forced()
    encoded = encode(trajectory, tokenizer)
    said = "".join(step.observation for step in trajectory.steps)
    assert said.endswith("\\boxed{")
    assert spelled(encoded, Kind.OBSERVATION, tokenizer) == said
    assert spelled(encoded, Kind.ANSWER, tokenizer) == "Anna"
    assert spelled(encoded, Kind.THOUGHT, tokenizer) == "Well.Well, well."


def test_a_token_across_the_tag_counts_as_action(tokenizer: Any) -> None:
    assert "Ġ<" in tokenizer.get_vocab()  # one token holds the space before a tag
    trajectory = searched()
    step = msgspec.structs.replace(trajectory.steps[0], text="So <begin_search> x </end_search>")
    encoded = encode(msgspec.structs.replace(trajectory, steps=(step,)), tokenizer)
    assert spelled(encoded, Kind.THOUGHT, tokenizer) == "So"
    assert spelled(encoded, Kind.ACTION, tokenizer) == " <begin_search> x </end_search>"


def test_a_pair_differs_after_its_context_alone(tokenizer: Any) -> None:
    chosen, rejected = encode_pair(pair(), tokenizer)
    context = spelled(chosen, Kind.PROMPT, tokenizer)
    assert context == spelled(rejected, Kind.PROMPT, tokenizer)
    assert context.endswith("<think>\nI am not sure. ")
    assert spelled(chosen, Kind.ACTION, tokenizer) == "<begin_search> tower 0 </end_search>"
    assert spelled(rejected, Kind.ANSWER, tokenizer) == "\n\n\\boxed{Bert}<|im_end|>"


def seam() -> Pair:
    """A pair whose rejected text would share a token with its context."""
    turns = (Turn("environment", "Found."), Turn("model", "So "))
    texts = {"chosen": "it is.", "rejected": "<begin_search> x </end_search>"}
    return msgspec.structs.replace(pair(), turns=turns, ends=(True, False), **texts)


def test_both_sides_of_a_pair_continue_from_the_same_tokens(tokenizer: Any) -> None:
    assert "Ġ<" in tokenizer.get_vocab()  # one token holds the context's end and the tag's start
    chosen, rejected = encode_pair(seam(), tokenizer)
    contexts = [
        [t for t, kind in zip(side.ids, side.kinds, strict=True) if kind is Kind.PROMPT]
        for side in (chosen, rejected)
    ]
    assert contexts[0] == contexts[1]
    assert spelled(chosen, Kind.PROMPT, tokenizer).endswith("Found.So ")
    assert spelled(rejected, Kind.ACTION, tokenizer) == "<begin_search> x </end_search>"


def both_trained(sides: tuple[Encoded, Encoded]) -> tuple[list[bool], list[bool]]:
    return trained(sides[0], "sft1"), trained(sides[1], "sft1")


@pytest.mark.parametrize("make", [pair, seam])
def test_the_audit_passes_pairs_as_they_are_encoded(make: Any, tokenizer: Any) -> None:
    sides = encode_pair(make(), tokenizer)
    audit_pair(sides, both_trained(sides), make(), tokenizer)


def test_the_audit_stops_a_context_that_is_off_by_one_token(tokenizer: Any) -> None:
    chosen, rejected = encode_pair(pair(), tokenizer)
    count = rejected.kinds.count(Kind.PROMPT)
    kinds = (*rejected.kinds[: count - 1], Kind.THOUGHT, *rejected.kinds[count:])
    sides = (chosen, Encoded(rejected.ids, kinds))
    with pytest.raises(MaskLeak, match="a pair's context spell"):
        audit_pair(sides, both_trained(sides), pair(), tokenizer)


def test_the_audit_stops_a_context_that_would_be_learned(tokenizer: Any) -> None:
    sides = encode_pair(pair(), tokenizer)
    used = (trained(sides[0], "sft1"), [True] * len(sides[1].ids))
    with pytest.raises(MaskLeak, match="context would enter"):
        audit_pair(sides, used, pair(), tokenizer)


def test_drift_counts_tokens_that_one_string_would_not_give(tokenizer: Any) -> None:
    others, total = retokenisation_drift(searched(), tokenizer)
    assert total == len(encode(searched(), tokenizer).ids)
    assert 0 < others < total // 10


@pytest.mark.parametrize("make", [searched, thought, forced])
@pytest.mark.parametrize("stage", ["sft2", "sft3"])
def test_the_audit_passes_what_the_encoder_makes(make: Any, stage: str, tokenizer: Any) -> None:
    trajectory = make()
    encoded = encode(trajectory, tokenizer)
    audit(encoded, trained(encoded, stage), TRAINED_KINDS[stage], trajectory, tokenizer)


def test_the_audit_stops_an_observation_that_would_be_learned(tokenizer: Any) -> None:
    trajectory = searched()
    encoded = encode(trajectory, tokenizer)
    with pytest.raises(MaskLeak, match="observation and would enter"):
        audit(encoded, trained(encoded, "sft3"), TRAINED_KINDS["sft2"], trajectory, tokenizer)


def test_the_audit_stops_kinds_that_are_off_by_one_token(tokenizer: Any) -> None:
    trajectory = searched()
    encoded = encode(trajectory, tokenizer)
    shifted = Encoded(encoded.ids, (Kind.PROMPT, *encoded.kinds[:-1]))
    with pytest.raises(MaskLeak, match="an observation spell"):
        audit(shifted, trained(shifted, "sft2"), TRAINED_KINDS["sft2"], trajectory, tokenizer)


@pytest.mark.parametrize("shift", [0, 1])
def test_what_a_tokenizer_loses_is_no_leak_and_hides_none(shift: int) -> None:
    words = "<|user|> <|assistant|> I need the builder of tower 0 . is Anna Now place"
    lossy = make_words([words], ["<begin_search>", "</end_search>", "\\boxed{"])
    trajectory = searched()  # with words that it does not know
    encoded = encode(trajectory, lossy)
    kinds = (*[Kind.PROMPT] * shift, *encoded.kinds[: len(encoded.kinds) - shift])
    shifted = Encoded(encoded.ids, kinds)
    with pytest.raises(MaskLeak, match="an observation spell") if shift else nullcontext():
        audit(shifted, trained(shifted, "sft2"), TRAINED_KINDS["sft2"], trajectory, lossy)


@pytest.mark.parametrize("shift", [0, 1])
def test_a_space_that_a_tokenizer_puts_before_every_text_is_no_leak_and_hides_none(
    shift: int,
) -> None:
    spaced = make_tokenizer()
    spaced.backend_tokenizer.normalizer = normalizers.Prepend(" ")
    spaced.backend_tokenizer.decoder = decoders.Sequence(
        [decoders.ByteLevel(), decoders.Strip(" ", 1, 0)]
    )
    trajectory = searched()
    encoded = encode(trajectory, spaced)
    kinds = (*[Kind.PROMPT] * shift, *encoded.kinds[: len(encoded.kinds) - shift])
    shifted = Encoded(encoded.ids, kinds)
    with pytest.raises(MaskLeak, match="an observation spell") if shift else nullcontext():
        audit(shifted, trained(shifted, "sft2"), TRAINED_KINDS["sft2"], trajectory, spaced)


def test_a_single_reply_is_trained_whole_whatever_its_solver(tokenizer: Any) -> None:
    step = Step("answer", "Verdict: correct", argument="Verdict: correct")
    opening = (Message("user", "Is it right?"),)
    verdict = Trajectory("judge", opening, "", (step,), step.text, "answered")
    encoded = encode(verdict, tokenizer)
    own = [
        token
        for token, kind in zip(encoded.ids, encoded.kinds, strict=True)
        if kind is not Kind.PROMPT
    ]
    assert tokenizer.decode(own[:-1]) == "Verdict: correct"
    assert own[-1] == end_of_turn(tokenizer)


def test_a_tokenizer_without_a_chat_template_has_no_end_of_turn() -> None:
    bare = make_tokenizer()
    bare.chat_template = None
    with pytest.raises(UserError, match=r"has no chat template.*chat_template\.jinja"):
        end_of_turn(bare)


def test_a_solver_of_another_form_is_refused(tokenizer: Any) -> None:
    other = msgspec.structs.replace(searched(), solver="react")
    with pytest.raises(UserError, match="cannot train on a trajectory of solver 'react'"):
        encode(other, tokenizer)
