"""What a livepatch's file says of the values that it changes, counted."""
from tests.corpus import atomic

FILE = '''"""p 1 -> p 2, by klpfs build.

- at once, not together with the functions: KEPT, MORE of p.m: keep may change or
  keep the table
- at once, not together with the functions: C.size of p: a decorator of its class may read it
- something else of p: no matter
"""
patch = Patch(
    objects=[
        Object("p", funcs=[Func("f", f)], callbacks=ImportTime(of_p, together=['LIMIT', 'C.flag'])),
        Object("p.m", callbacks=ImportTime(of_p_m, everywhere=['T'], together=['T', 'p:LIMIT'])),
        Object(None, callbacks=ImportTime(of_main)),
    ],
)
'''


def test_a_file_is_counted(tmp_path):
    path = tmp_path / "p.py"
    path.write_text(FILE)
    found = atomic.of_file("p-2", path)
    assert found.together == ["p:LIMIT", "p:C.flag", "p.m:T"]
    assert found.early == [("p.m:KEPT", "keep may change or keep the table"),
                           ("p.m:MORE", "keep may change or keep the table"),
                           ("p:C.size", "a decorator of its class may read it")]
    text = atomic.table([found, atomic.Atomic("q-1")])
    assert ("3 of 6 changed values are atomic (50 %, goal 90 %); 2 of 4 values of modules (50 %), "
            "1 of 2 of classes") in text
    assert "KEPT, MORE: keep may change or keep the table; C.size: a decorator" in text and "q-1" not in text


def test_without_a_file_nothing_is_counted(tmp_path):
    assert atomic.of_file("p-2", tmp_path / "none.py").count == 0
