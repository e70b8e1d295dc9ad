"""`python -m autocoa_bench`."""

from autocoa_bench.cli.main import main

main()
