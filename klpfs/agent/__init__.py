"""Puts the engine and its target into a process and serves them on a Unix socket (DESIGN section 7)."""
