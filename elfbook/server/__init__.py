"""The part of Jupyter's server through which a page sees the mycelium when no kernel helps it."""
