"""Dispatchers and the choice of a side. Code here runs inside the program's calls: captured C functions only."""
