"""Choosing a threshold: what would be found at each, and what noise alone would give."""
