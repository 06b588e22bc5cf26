"""Switches for tests: each names one rule of the consistency model; a rule in BREAK is not followed.

An attack's test runs twice, once as it is, where it must find nothing, and once with its rule switched off, where it
must find mixed code: so each test shows that it can fail. Nothing but tests writes here.

    root       the stack of an asyncio task that a loop steps ends at the loop's frame, not at the thread's end
    eager      it does not end at the root coroutine where anything but a loop is below that
    skip       choosing passes over undecided dispatchers
    loose      a choice made above an undecided dispatcher is not remembered
    own        only a side of its own function, directly above, makes a dispatcher decided
    ambig      looking takes an undecided dispatcher for dirty
    settled    with greenlets about, a look takes an undecided dispatcher for decided only in a thread that it has seen
               without, since the last flip
    elsewhere  and only as long as no choice there was for a side that was found in another greenlet, or by delegation
    stale      a dispatcher of an earlier transition asks the newest Switch of its function
    copy       choosing knows a copy of a code with a side that a tool has made since the last look
    third      every older code of a function counts as side 0
    comps      comprehensions and generator expressions belong to the side of the function around them
    gcscan     a collection under way makes a look for suspended objects void
    gens       suspended generators, coroutines and asynchronous generators are looked for
    finished   a suspended object that ran to its end during a look makes another look necessary
    busy       an audit hook that calls patched functions out of a walk does not recurse for ever
    deep       a walk that interrupts a walk that interrupts a walk looks at the stack as well
    gather     a look takes all frames before it reads the first code (which an audit hook can see)
    parent     a greenlet's stack goes on in its nearest ancestor that has a frame
    torn       greenlets that were born in the middle of a look (which an audit hook makes possible) make it void
    greenlets  suspended greenlets are looked for
    quiet      up to 3.11, nothing is remembered or seen before a moment without garbage collection
    nested     nothing is remembered when an inner function is under transition: old frames make more function objects
               of it, and those are no dispatchers
    cut        3.9: looking takes a stack that a generator's throw() has cut for dirty
    delegation  what was entered by a throw() or close() that an object handed on to what it waits for is on the side
               of that object, which is on no stack
    blind      no dispatcher answers side 1 before all that waits is known: not while a collection is under way, or on a
               frozen heap
    whose      an object that hands on to one of the program's decides for that object's throw() and close() alone
    thrown     3.9: choosing goes on, where a generator's throw() has cut the stack, in the generators around it
    hidden     code to which there are references that nobody accounts for, as to its function, may run out of sight
               (off with any other rule, too: it sees much of what others are there for)
    again      module-level code on a stack from whose place old code can still be made a function is in the way
    nostack    choosing walks the stack at all
    noobserve  looking looks at all
"""
from __future__ import annotations

BREAK: set[str] = set()
