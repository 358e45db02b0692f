"""The pure ring: the wire's rules as functions of their arguments.

Nothing in here awaits, reads a clock, a file, the environment or a database.
"""
