"""The roles: each from settings to running and back.

`serve` runs the other three. Each module imports what its role needs, and nothing else: a worker
loads neither gRPC nor an HTTP server, and a gateway loads no SQL.
"""
