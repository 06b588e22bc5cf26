"""The proof of a built livepatch: OLD with the livepatch is held against NEW, object by object.

sandbox -> subject (describe, code_signs, object_text, raw_parts) in a process of each; graphs, compare, judge, verify
here.
"""
