"""Switching functions from one image to another while the program runs, without a task that sees both.

choice.py, what it calls (Switch.function_of of dispatcher.py, clone of images/image.py, the choices of a State), and
the weak reference's callback of live_dispatchers.py run inside the program's calls: in any thread, at any moment,
between any two of the program's bytecodes, with other threads in the same code. switching.py runs in the agent's
thread, under its lock. The rule of this room (tests/cpython/test_rooms_switch.py), for all its files:

- Functions call C functions that were captured at import, and klpfs's own; no builtin by its plain name, no attribute
  of a module of the standard library, no Python function of that library: the program may have put its own in their
  place, or patch it with klpfs.
- What the program's calls read while the agent's thread writes it is exchanged by one store, or only grows
  (switching.py names the reader at each such store, choice.py the writer at each such read). No lock: the program's
  call could wait for the agent, or be interrupted by a handler that calls patched functions again.
- Files import klpfs.engine, what lies in klpfs.cpython itself and serves all rooms, their own room, images and looks
  (which follow the same rules). What a file of looks imports of this room is the rules and the choice, and those import
  nothing of looks.
"""
