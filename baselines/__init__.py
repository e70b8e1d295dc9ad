"""Baselines: solvers without training: a model alone, plain RAG, and prompts that make it search.

May import: `autocoa_bench`, which loads the solvers by their entry points."""
