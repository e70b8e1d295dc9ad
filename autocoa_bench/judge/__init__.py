"""The LLM judge: a model says whether an answer is right (paper, section 4.1).

`judge` asks a model, `prompts` are the prompts that ship (their texts are `prompt_*.txt`), `reply`
reads the verdict in a reply, `verdict` has the records, `verdict_cache` stores verdicts,
`agreement` compares a scorer with labels, and `probes` test what misleads a judge. `synthesis/`
makes the data that the shipped judge in `adapters/` is trained on.

May import: `types`, `errors`, `registry`, `stats`, `util`, `episode`, `engines`, `scoring`,
`tasks`."""

from autocoa_bench.judge.verdict import (
    SCORER,
    Case,
    JudgeConfig,
    JudgePrompt,
    Verdict,
    judge_description,
    load_prompt,
    verdict_key,
)

__all__ = ["SCORER", "Case", "JudgeConfig", "JudgePrompt", "Verdict"]
__all__ += ["judge_description", "load_prompt", "verdict_key"]
