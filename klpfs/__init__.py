"""klpfs: kernel-grade live patching for running Python programs, through a file system.

This is what a livepatch module imports. In the patched process nothing but the standard library is used.
"""
