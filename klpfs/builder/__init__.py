"""Livepatch modules out of two versions of a package's source: `klpfs build OLD NEW -o FIX.py`.

Five steps, a folder each; a step imports from those before it alone:

    read      releases: pairs of modules, and OLD's definitions as every Python sees them
    compare   what differs in a pair of modules: statements, functions, classes
    plan      how a difference is carried: by a Func, by what runs when the patch goes in, or not at all: a Refusal
    write     the text of the livepatch; the text beside upstream's change, for a reviewer
    verify    the livepatch held against NEW, object by object, in processes that import both releases

OLD and NEW are the two versions. A statement is what runs when the body of a module or a class runs; a scope is such a
body.
"""
