"""Prints the run with the higher mean exact match: `python benchmarks/better_run.py RUN RUN`.

`make adapter` selects between its two trainings by their runs over held-out questions. The first of
equal ones is taken. The means, and the share of answers that were not forced, go to standard error.
"""

import sys

from autocoa_bench.frames import load_runs


def main() -> None:
    folders = sys.argv[1:]
    records = load_runs(*folders).records
    means = {}
    for folder in folders:
        own = records[records["run"] == folder]
        means[folder] = own["em"].mean()
        answered = (own["ending"] == "answered").mean()
        print(f"{folder}: EM {means[folder]:.1%}, answered {answered:.1%}", file=sys.stderr)
    print(max(folders, key=means.__getitem__))


if __name__ == "__main__":
    main()
