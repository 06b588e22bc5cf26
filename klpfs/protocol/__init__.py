"""What an agent and whoever coordinates the agents must agree on, written once: wire, journal text, decisions, names, folder layout.

The standard library alone: half of those who import it are patched programs.
"""
