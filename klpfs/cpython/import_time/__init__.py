"""Import time: what importing the new version of a module would do differently, done to the live module and taken back.

The rule of this room (tests/cpython/test_rooms.py): its code runs in callbacks, in the agent's thread or a livepatch's
init, when there is time, so it may allocate and use builtins by their plain names; code of the livepatch and of the
program runs in between, with no lock of klpfs held. All that is put into the program goes through overlays.py, so that
it can be taken back in any order. Inside the program's calls run only the descriptors of attributes.py and the finder
of new_modules.py. It imports nothing of switch: what it does needs no transition.
"""
