"""GRPO in a simulated and a real environment (paper 3.3): rollouts, rewards, learning."""
