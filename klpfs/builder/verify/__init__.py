"""The proof of a built livepatch: OLD with the livepatch is held against NEW, object by object.

sandbox -> subject (describe, code_signs, object_text, raw_parts, c_state) in a process of each; graphs, compare, judge
(chance, readers), verify here.
"""
