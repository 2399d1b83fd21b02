"""What serves a mycelium on one machine: the process tree and the scheduler."""
