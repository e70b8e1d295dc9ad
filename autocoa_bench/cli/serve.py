"""`autocoa-bench serve-search`: the engine that runs are evaluated on, for whoever trains on it."""

from __future__ import annotations

from typing import Annotated

import typer

from autocoa_bench import registry
from autocoa_bench.errors import UserError


def serve_search(
    corpus: Annotated[
        str, typer.Option(help="A corpus: a name or a file; none for a --search that brings one.")
    ] = "",
    search: Annotated[
        str, typer.Option(help="Search engine, with options as name:option=value.")
    ] = "bm25",
    top_k: Annotated[
        int, typer.Option(min=1, max=100, help="Passages a query, where a request does not say.")
    ] = 3,
    host: Annotated[
        str, typer.Option(help="Where to listen; anything but loopback serves your network.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 is any free one.")] = 8000,
) -> None:
    """Serve a search engine in the protocols of Search-R1, AutoCoA, FlashRAG and R1-Searcher."""
    import asyncio

    from autocoa_bench.search import factory
    from autocoa_bench.search.engine import engine_summary
    from autocoa_bench.search.remote import server
    from autocoa_bench.search.remote.protocols import MOST_PASSAGES

    if not corpus and not factory.has_own_corpus(search):
        raise UserError(
            f"nothing to search: give --corpus a name ({', '.join(registry.names('corpora'))}) "
            "or a file (.jsonl, .jsonl.gz, .parquet)"
        )
    engine = factory.open_engine(search, corpus, MOST_PASSAGES)

    def ready(url: str) -> None:
        typer.echo(f"{engine_summary(engine.spec)} at {url}; Ctrl-C stops it")
        if not server.is_loopback(host):
            typer.echo(f"warning: whoever reaches {host} can search here", err=True)

    asyncio.run(server.serve(engine, top_k, host, port, ready))
