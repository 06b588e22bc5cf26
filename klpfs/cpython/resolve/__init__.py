"""Definitions of the program: found, told apart, and given new code.

The rule of this room (tests/cpython/test_rooms.py): its code runs in the agent's thread when there is time, never
inside the program's calls, so it may allocate and use builtins by their plain names. But it meets the program's
objects, and runs none of their code: they are judged by exact type and identity, their fields read by raw.py's getters.
Of other rooms it imports load, the C iterators of looks, and what puts code into a function object.
"""
