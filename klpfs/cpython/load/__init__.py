"""Livepatch files: read, parsed, their names rewritten, run. Runs when there is time, never inside the program's calls."""
