"""Import time: what importing the new version of a module would do differently, done to the live module and taken back.

Runs in callbacks, in the agent's thread or a livepatch's init, with no lock of klpfs held: code of the livepatch and of
the program runs in between. What is put into the program goes through overlays.py, so that it can be taken back in any
order. Nothing here runs inside the program's calls but the descriptors of attributes.py, the metaclass of
class_block.py while its class statement runs, and the finder of new_modules.py; they take what they need from the
objects' real types, since a class of the program may say something else of itself. No file of switch is imported.
"""
