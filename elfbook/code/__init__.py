"""Cells and modules as data: an elf's class, and all that it reaches, as a revision."""
