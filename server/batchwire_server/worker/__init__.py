"""What a worker does: validates, runs, finalizes and sweeps."""
