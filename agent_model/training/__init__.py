"""Training: a recipe in, an adapter or a model out (paper 3.2.2 and 3.3).

`config` reads recipes; `sft` runs the supervised stages and `grpo.train` reinforcement learning,
both on `loop`. Imports the other packages of `agent_model` and the harness; except for `config`,
`metrics`, `files` and `grpo.reward`, its modules need the extra `train`.
"""
