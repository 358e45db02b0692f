"""The reading end of the wire: walks the exports of a Zendesk account, or of ticketfeed, into a target."""

__all__: list[str] = []
