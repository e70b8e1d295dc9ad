"""The datasets: their descriptions, and the generators of the embedded edition's questions.

`embedded` has the tasks and corpora that are generated, checked against the hashes in
`embedded.toml`; `real` has the published datasets, and `when_to_act` the questions with and without
a need to search. `closed_world/`, `temporal/` and `nano/` generate worlds. The machinery that turns
names into questions is the package `autocoa_bench.tasks`.

May import: `autocoa_bench`, which loads the datasets by their entry points."""
