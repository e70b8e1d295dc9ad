"""Comparison of runs: with one another, with the paper's rows, and the tests of differences."""
