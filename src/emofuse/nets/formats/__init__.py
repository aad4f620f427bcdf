"""Readers of files of weights as others published them: each gives named NumPy arrays, and none unpickles."""
