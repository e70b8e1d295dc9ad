"""The comparability of runs, their rows in the paper, and the tests of their differences."""
