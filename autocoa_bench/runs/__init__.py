"""Runs: questions become records in a run folder, and records become scores.

`config` holds the settings of a run, and `run` runs it: `solvers` loads the solver and drives its
episodes, `executor` opens the engine and the search, `scheduler` runs many episodes at once,
`resume` decides what is left to run, and `run_folder` is the format on disk. `scores` scores and
judges records. `provenance` describes machine and code, `replay` records and replays exchanges,
`ray_executor` spreads a run over a Ray cluster that `ray_cluster` starts, and `inspect_logs`
converts runs into logs of Inspect.

May import: every package of the harness except `report` and `cli`."""
