"""The episode: one question, one dialect and one budget become a trajectory.

`loop` is the paper's Algorithm 1 as a generator without I/O, `dialect` the protocol that a solver
implements, `neutralise` makes questions and search results safe to show, `thoughts` finds the
thoughts in model text, `tool_calls` the tool calls, `answer_text` (with `latex`) the answers,
`token_counts` estimates and checks counts of tokens, and `trajectory` counts actions and tokens.

May import: `types`, `errors`."""

from autocoa_bench.episode.dialect import (
    Action,
    Call,
    Dialect,
    ReadingDialect,
    RetrievingDialect,
    offers_tools,
    opening_of,
    prompt_sha256,
)
from autocoa_bench.episode.loop import Episode, Event, Reply, episode
from autocoa_bench.episode.neutralise import neutralise, neutralise_question
from autocoa_bench.episode.token_counts import estimate_tokens
from autocoa_bench.episode.trajectory import (
    n_actions,
    n_cut,
    n_cut_prompts,
    n_malformed,
    turns_of,
)

__all__ = ["Action", "Call", "Dialect", "Episode", "Event", "ReadingDialect", "Reply"]
__all__ += ["RetrievingDialect", "offers_tools"]
__all__ += ["episode", "estimate_tokens", "n_actions", "n_cut", "n_cut_prompts", "n_malformed"]
__all__ += ["neutralise", "neutralise_question", "opening_of", "prompt_sha256", "turns_of"]
