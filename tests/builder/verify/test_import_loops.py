"""Names that only loops at a module's top level bind."""
from klpfs.builder.verify.import_loops import bound_by_loops


def test_variables_of_loops(releases):
    release = releases.write("new", """
        import sys
        if sys:
            for a, (b, *c) in []:
                a = 1
                made = a
                for d in []: pass
        for e in []: pass
        e = 2
        try:
            for f in []: pass
        except ValueError as error:
            pass
        with open("/dev/null") as file: pass
        for file in []: pass
        def g():
            for h in []: pass
        """)
    assert bound_by_loops(release, "m") == {"a", "b", "c", "d", "f"}
    assert bound_by_loops(release, "none") == set()
