"""HTTP search servers: the client, the server, and the protocols that both speak.

`documents` finds the documents in a reply of any shape; `access` and `connections` guard the
server.
"""
