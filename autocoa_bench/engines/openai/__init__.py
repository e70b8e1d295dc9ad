"""The client of OpenAI-compatible model servers.

`client` is the engine and `replicas` several of them. `startup` finds out what a server needs, with
`model_list` and `probes`, and sets up an `endpoint`, which sends the requests over `model_server`
(addresses, keys, errors). `protocol` writes request bodies, within `request_limits`; `refusals`
reads refusals; `replies`, `lenient_replies` and `finish_reasons` read replies. `turn_tokenizer` and
`server_tokenizers` turn prompts into ids.
"""
