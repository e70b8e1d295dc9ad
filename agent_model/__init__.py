"""The agent model: dialects, data synthesis, training, and the reproduction of the paper's tables.

From the bottom up: `dialects`, `data`, `tokens`, `rollout`, `fidelity`, `training`,
`trainer_export`, `nano`, `reproduce`, `cli`. Imports `autocoa_bench`, and neither `baselines`
nor `tasks`.
"""
