"""The temporal set (Appendix A): `recent`, which no model can know, and `known`, which all can.

`season` generates a sports season from the vocabulary in `season.toml`, and `reports` its events,
worded by `reports.txt`. `recent` asks three hops through the reports, in the wordings of
`asking.txt`. `known` chains the facts of `known/*.tsv` and `tasks/facts/*.tsv`. `sets` has the
tasks, and `build` makes such a set from the reports of a user.
"""
