"""The supervised stages: recipe in, adapter or checkpoint out (paper 3.2.2)."""
