"""The tables of reports, one module each: a function from runs to a `Table`."""
