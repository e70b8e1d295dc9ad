"""HTTP search servers: the client, the server, and the protocols that both speak."""
