"""Reproduces the paper's Table 1 from data synthesis to claims, and the curves around it.

A scale (`nano/scale.toml`, `smollm2/scale.toml`, with one recipe a training stage beside it) says
how large everything is. `commands` has the commands of each variant, which `runner` runs; `table1`,
`known_facts`, `switch`, `ablation` and `seeds` report on the runs. May import every other package
of `agent_model`.
"""
