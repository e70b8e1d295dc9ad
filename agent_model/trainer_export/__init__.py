"""GRPO by other trainers (`train grpo --hand-over`): the recipe's data, episodes and reward.

`write` exports a recipe to a folder; `verl` and `trl` are what those trainers import from there,
over `folder`, which reads it. May import every other package of `agent_model`.
"""
