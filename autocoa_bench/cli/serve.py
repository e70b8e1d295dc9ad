"""`autocoa-bench serve-search`: serve the search engine of evaluation to training frameworks."""

from typing import Annotated

import typer
from msgspec import Struct

from autocoa_bench import registry
from autocoa_bench.cli.interrupts import stopped_safely
from autocoa_bench.cli.options_from_config import options_from
from autocoa_bench.errors import UserError
from autocoa_bench.runs.config import SearchName, TopK
from autocoa_bench.types import Option


class ServeConfig(Struct, frozen=True, kw_only=True):
    """A search engine, and the address that it is served at."""

    corpus: Annotated[
        str, Option(help="A corpus: a name or a file; not needed where --search has its own.")
    ] = ""
    search: SearchName = "bm25"
    top_k: TopK = 3
    host: Annotated[
        str,
        Option(
            help="Address to listen on. Beyond loopback, requests must carry the token in "
            "AUTOCOA_BENCH_SEARCH_TOKEN, as our own client does."
        ),
    ] = "127.0.0.1"
    no_token: Annotated[
        bool,
        Option(
            help="Answer everyone who can reach --host: the clients of Search-R1 and others send "
            "no token.",
            flags=("--no-token",),
        ),
    ] = False
    port: Annotated[int, Option(help="Port to listen on; 0 is any free one.", min=0, max=65535)] = (
        8000
    )


@options_from(ServeConfig)
def serve_search(config: ServeConfig) -> None:
    """Serve a search engine in the protocols of Search-R1, AutoCoA, FlashRAG and R1-Searcher.

    A request that gives no number of passages gets --top-k.
    """
    import asyncio

    from autocoa_bench.search import factory
    from autocoa_bench.search.engine import engine_summary
    from autocoa_bench.search.remote import server
    from autocoa_bench.search.remote.access import TOKEN, Access, environment_token, is_loopback
    from autocoa_bench.search.remote.protocols import MOST_PASSAGES

    if not config.corpus and not factory.has_own_corpus(config.search):
        raise UserError(
            f"nothing to search: give --corpus a name ({', '.join(registry.names('corpora'))}) "
            "or a file (.jsonl, .jsonl.gz, .parquet)"
        )
    token = "" if config.no_token else environment_token()
    is_open = not (token or is_loopback(config.host))
    if is_open and not config.no_token:
        raise UserError(
            f"--host {config.host} serves others than this machine: set {TOKEN} to a secret, here "
            "and where runs use the server, or give --no-token to answer everyone"
        )
    with stopped_safely("nothing is left of a half-made index, and the same command makes it"):
        engine = factory.open_engine(config.search, config.corpus, MOST_PASSAGES)

    def ready(url: str) -> None:
        typer.echo(f"{engine_summary(engine.spec)} at {url}; Ctrl-C stops it")
        if is_open:
            typer.echo(f"warning: everyone who can reach {config.host} can search here", err=True)

    access = Access(config.host, token)
    asyncio.run(server.serve(engine, config.top_k, access, config.port, ready))
