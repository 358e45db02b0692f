"""All tickets by the cursor export of zenpy, as its documentation shows: zenpy_export.py SUBDOMAIN EMAIL TOKEN FILE."""

import json
import sys

from zenpy import Zenpy

subdomain, email, token, output = sys.argv[1:]
client = Zenpy(subdomain=subdomain, email=email, token=token)
with open(output, "w") as file:
    for ticket in client.tickets.incremental(start_time=0, paginate_by_time=False):
        file.write(json.dumps(ticket.to_dict(serialize=False), default=str) + "\n")
