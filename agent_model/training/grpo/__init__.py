"""GRPO in a simulated and in the real environment (paper, section 3.3)."""
