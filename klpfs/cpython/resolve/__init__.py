"""Definitions of the program: found, told apart, and given new code. Runs when there is time, never inside the program's calls."""
