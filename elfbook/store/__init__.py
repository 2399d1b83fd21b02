"""The mycelium: the server, its streams, and the only files that know NATS."""
