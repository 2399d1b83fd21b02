"""Handles and verbs: what a notebook, a script or a shell does with runs."""
