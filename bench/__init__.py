"""Benchmarks: one file per question; `python -m bench list`."""
