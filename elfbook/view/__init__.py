"""What people see of a run: one text, three renderings, and its graph drawn."""
