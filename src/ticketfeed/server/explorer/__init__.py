"""The OpenAPI document and the API explorer."""

__all__: list[str] = []
