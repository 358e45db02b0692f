"""`ticketfeed run` and TLS: the proxy, the certificate authority, certificates."""

__all__: list[str] = []
