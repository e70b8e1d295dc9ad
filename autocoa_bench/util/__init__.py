"""Tools of the other packages: files, downloads, HTTP, concurrency and progress.

`paths` (caches and locks), `row_reader` (data files; it opens them with `data_stream`, within
`size_limits`, and reads them with `json_rows` and `table_rows`), `field_names` (the names of fields
in published data files), `json_lines` (files that survive a kill),
`hub` (downloads), `http_client` (retries and outages of servers), `concurrency`, `progress`.

May import: `errors`."""
