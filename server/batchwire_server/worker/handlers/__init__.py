"""Handlers of the queue's task kinds, one per file."""
