"""Judges: prompts that ask a model whether an answer is right, and what ships for them."""
