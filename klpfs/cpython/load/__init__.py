"""Livepatch files: read, parsed, their names rewritten, run.

The rule of this room (tests/cpython/test_rooms.py): its code runs in the agent's thread when there is time, never
inside the program's calls. So it may allocate, use builtins by their plain names and import what a load needs when it
is needed (loader.prepare imports that ahead). It deals with texts, trees and code objects: it imports no other room,
and knows nothing of the program's functions.
"""
