"""A service: its journal, the coordinator of its processes, the mirror of their state."""
