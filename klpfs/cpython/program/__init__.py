"""The program's own imports and its main program's statements, watched for definitions that come.

The rule of this room (tests/cpython/test_rooms.py): import_hooks.py runs inside the program's imports, in any thread:
its functions import nothing, take no lock, and let no exception of klpfs out. between_statements.py runs before the
main program's first line, or in the agent's thread. Both import no more than what reads code objects and stacks.
"""
