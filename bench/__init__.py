"""`python -m bench`: the endpoint's speed beside static files and beside a plain web application.

cases.py      what is asked for: page sizes, gzip, sideloads
world.py      a store filled by the command itself, and its pages saved as files
processes.py  servers as processes: pinned to a core, ended by pid, their CPU time read
servers.py    ticketfeed, and the start of its peers
peers/        nginx's configuration; the plain FastAPI application
load.py       the load generator
measure.py    verified first, then interleaved rounds
report.py     the table, and results/latest.json
"""
