"""Tools of the other packages: files, downloads, HTTP, concurrency and progress.

`paths` (caches and locks), `row_reader` (data files), `json_lines` (files that survive a kill),
`hub` (downloads), `http_client` (retries and outages of servers), `concurrency`, `progress`.

May import: `errors`."""
