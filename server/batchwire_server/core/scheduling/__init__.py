"""Scheduling decisions: pure, with the clock handed in."""
