"""Looks: what other threads and greenlets do, and what is suspended, seen from the agent's thread while the program
runs.

A look is an iterator built of C iterators and run to its end by one list() (atomic.py): no bytecode of klpfs, no
allocation that collects garbage, nothing of the program's runs in the middle, so that all that it sees is of one
moment. This needs the interpreter lock (images.image.check_interpreter refuses a Python without).

The rule of this room, of which tests/cpython/test_rooms_switch.py checks the last two parts in each file:

- No iterator and no list that holds frames or objects of the program has a name when the call ends: the last reference
  to them would be klpfs's, and their finalizers would run in klpfs's thread. What comes out are ids, codes, numbers,
  weak references.
- Reading f_code, gi_code, gi_frame, asking for id() and for referents raises an audit event, in which a Python hook
  lets other threads run; f_back and gr_frame raise none. So what a look holds is read by reads.py, and asking for
  frames or for the collector's objects, an event too, comes before anything is held.
- Garbage collection is off meanwhile (3.11: a collection in sys._current_frames deadlocks, gh-106883), and put back by
  the same C call, so that the program's own gc.enable and gc.disable are not undone.
- Types are compared by identity: a metaclass may have a Python __hash__ or __eq__.
- Functions call C functions that were captured at import, and klpfs's own; no builtin by its plain name, no attribute
  of a module of the standard library, no Python function of that library: the program may have put its own in their
  place, or patch it with klpfs.
- Files import klpfs.engine, what lies in klpfs.cpython itself and serves all rooms, their own room, and of switch the
  rules and the choice.
  Functions of dry_run.py, which takes no look itself, run when there is time.
"""
