"""Readers of weight files as others published them; each returns named NumPy arrays, and none unpickles objects."""
