"""Tools of the other packages: files, downloads, HTTP, concurrency and progress.

- Files: `paths` (caches and locks), `files` (those of strangers), `scratch` and `json_lines` (what
  survives a kill), `fingerprint`, `hub` (downloads).
- Data files: `row_reader` opens them with `data_stream`, within `size_limits`, and reads them with
  `json_rows` and `table_rows`; `field_names` has the names of published fields.
- Servers: `http_client` (retries and outages) with `addresses` (proxies and TLS), `gate` and
  `rate_limits`, and `error_text`.
- Output: `text` is the filter of all text, `streams` and `terminal` apply it, `secrets` keeps keys
  out; `commands` quotes command lines, `progress` draws bars.
- `concurrency`.

May import: `errors`."""
