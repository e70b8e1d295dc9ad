"""The datasets: their descriptions, and the generators of the embedded edition's questions.

`embedded` describes the closed world's datasets, `real` the published ones, and `when_to_act` the
questions with and without a need to search; `closed_world/`, `temporal/` and `nano/` generate
worlds, and the former checks their hashes. The machinery that turns names into questions is
the package `autocoa_bench.tasks`.

May import: `autocoa_bench`, which loads the datasets by their entry points."""
