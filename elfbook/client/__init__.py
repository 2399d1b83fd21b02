"""A process that submits and watches runs: its event loop, its view of them."""
