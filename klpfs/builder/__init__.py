"""Livepatch modules out of two versions of a package's source: `klpfs build OLD NEW -o FIX.py`.

sources -> modules -> changes -> plan -> emit: files on disk, pairs of modules, what differs, how each difference is
carried, the text of the livepatch.
"""
