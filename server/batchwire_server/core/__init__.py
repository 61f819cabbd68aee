"""What Batchwire is, apart from where it runs: records, rules and ports.

No I/O and no wire types.
"""
