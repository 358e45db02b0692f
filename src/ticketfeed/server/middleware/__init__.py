"""ASGI middleware, outermost first: access log, overload, head limit, page cache, CORS."""

__all__: list[str] = []
