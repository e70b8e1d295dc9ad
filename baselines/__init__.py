"""Baselines: solvers without training, namely a model alone and a model with a ReAct prompt.

May import: `autocoa_bench`, which loads the solvers by their entry points."""
