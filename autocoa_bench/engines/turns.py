"""The prompt of a turn, cut into pieces that are tokenised one by one.

Runs, training and every export build their prompts from these pieces, so that a model sees the same
ids in all of them.
"""

from autocoa_bench.types import Prompt


def join_prefill(opening_text: str, prefill: str) -> str:
    """A rendered opening with the prefill at its end, once even if the template adds it too."""
    written = prefill.strip()
    if written and opening_text.rstrip().endswith(written):
        opening_text = opening_text.rstrip().removesuffix(written)
    return opening_text + prefill


def prompt_pieces(opening_text: str, prompt: Prompt) -> str | list[str | int]:
    """A prompt for llama.cpp, cut into pieces exactly as training cuts a trajectory.

    The opening with the prefill is one text, each stretch of environment text another; each is
    tokenised on its own, and between them stand the ids of the model's turns. Every model turn must
    have ids, because llama.cpp reads an array of texts alone as several prompts.
    """
    pieces: list[str | int] = []
    text = join_prefill(opening_text, prompt.prefill)
    for turn in prompt.turns:
        if turn.source == "environment":
            text += turn.text
            continue
        assert turn.token_ids is not None, "a model's turn is sent as ids"
        pieces += [text, *turn.token_ids] if text else turn.token_ids
        text = ""
    if not pieces:
        return text
    return [*pieces, text] if text else pieces
