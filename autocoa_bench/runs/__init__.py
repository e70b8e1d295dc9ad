"""Runs: questions become records in a run folder, and records become scores.

`config` says what to run and `run` runs it; `scheduler` runs many episodes at once, `run_folder`
is the format on disk, `resume` decides what is left to run, `scores` scores and judges records,
`solvers` loads solvers, `provenance` describes machine and code, `replay` records and replays
exchanges, and `ray_executor` spreads a run over a Ray cluster.

May import: everything below except `report` and `cli`."""
