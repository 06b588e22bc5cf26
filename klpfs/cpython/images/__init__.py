"""Images: what a function object holds at one moment (code, defaults, docstring ...), taken and put as a whole.

The rule of this room (tests/cpython/test_rooms_switch.py): image.py and version_numbers.py run inside the program's
calls as well (a dispatcher clones a function the first time that it calls a side): there, as in switch and looks,
functions call C functions captured at import and klpfs's own, and no builtin by its plain name. image_table.py runs in
the agent's thread alone, under its lock.
"""
