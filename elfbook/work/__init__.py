"""A worker: its process, its kernel, and what runs inside that kernel."""
