"""Rollouts: episodes played by a policy in process, token in and token out."""
