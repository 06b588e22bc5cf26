"""The livepatch file, written out of a plan, and its review."""
