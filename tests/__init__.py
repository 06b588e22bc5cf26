"""The tests, a folder for each layer.

What they share is imported from here, as `from tests.harness import until`, in one way everywhere.
"""
