"""Benchmarks, as ratios to baselines of the same run."""
