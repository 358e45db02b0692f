"""TLS on this machine alone: a certificate authority, the server's certificates, and the proxy of `ticketfeed run`.

`authority` and `trust` need the extra `tls`; the rest stands on the standard library.
"""

__all__: list[str] = []
