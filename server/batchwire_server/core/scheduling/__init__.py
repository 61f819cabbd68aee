"""Scheduling decisions: pure functions and classes to which the caller passes the time."""
