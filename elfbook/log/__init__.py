"""A run as a fold over its log."""
