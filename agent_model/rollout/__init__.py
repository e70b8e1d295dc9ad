"""Rollouts: many episodes run at once with the policy, for evaluation and RL.

Samplers complete requests (in process or on a vLLM server), a search client or a simulator answers
searches, and `rollout` runs the episodes. Imports `agent_model.tokens` and the harness; it knows
nothing of how a policy is trained.
"""
