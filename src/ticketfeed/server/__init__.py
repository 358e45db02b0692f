"""The HTTP end: requests in, responses out. `/api/v2` imitates the wire exactly; `/_ticketfeed` is ours."""
