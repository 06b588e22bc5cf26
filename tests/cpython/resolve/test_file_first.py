"""The globals of what evaluates annotations: names of the livepatch file before those of the patched module."""
import builtins
import sys
import weakref
from types import FunctionType, SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from klpfs.cpython.resolve.file_first import file_first


def spaces():
    """(namespace of a file, of a module, globals with the names Own and Both of the file)."""
    file = {"Own": type("Own", (), {"at": 1}), "Both": 2, "f": "not to be seen", "__name__": "file"}
    module = {"Both": 0, "Mod": list, "f": 4, "__name__": "module", "__builtins__": vars(builtins)}
    loaded = SimpleNamespace(namespace=file, own=frozenset(("Own", "Both", "Unbound")))
    return file, module, file_first(loaded, SimpleNamespace(), module, vars(builtins))


def test_they_are_a_mapping_of_what_is_there_now():
    file, module, names = spaces()
    expected = {**module, "Own": file["Own"], "Both": 2}
    assert {**names} == dict(names.items()) == names.copy() == expected
    assert set(names) == set(names.keys()) == set(expected) and len(names) == len(expected)
    assert list(names.values()) == list(names.copy().values())
    assert [name in names for name in ("Own", "Mod", "f", "len", "Unbound")] == [True, True, True, False, False]
    assert names["Both"] == names.get("Both") == 2 and names["f"] == 4 and names.get("g", 5) == 5
    with pytest.raises(KeyError):
        names["Unbound"]
    del file["Both"]
    module["Unbound"], file["Own"] = 6, 7
    assert (names["Both"], names["Unbound"], names["Own"]) == (0, 6, 7)


def test_code_finds_them_however_it_looks_names_up():
    """In functions, at the top level of what eval() gets, in functions in that; builtins behind them."""
    file, module, names = spaces()
    text = "Own, Both, Mod, f, len([0]), __name__, (lambda: (Own, Both, Mod, f, len([0])))()"
    made = FunctionType((lambda: (Own, Both, Mod, f, len([0]), __name__)).__code__, names)    # noqa: F821
    found = (file["Own"], 2, list, 4, 1, "module")
    for _ in range(100):        # code is specialised meanwhile
        assert eval(text, names, {}) == (*found, found[:-1]) and made() == found
    module["len"] = lambda what: "the module's"
    assert eval("len([0])", names, {}) == made()[4] == "the module's"
    file["Both"] = 5
    assert eval("Both", names, {}) == made()[1] == 5
    with pytest.raises(NameError, match="Nowhere"):
        eval("Nowhere", names, {})
    assert eval("(lambda: 0)", names).__module__ == "module"


def test_they_keep_nothing_of_the_livepatch_but_its_names():
    """A forward reference has them, which the program may keep."""
    loaded = Loaded()
    names, loaded = file_first(loaded, SimpleNamespace(), {}, vars(builtins)), weakref.ref(loaded)
    assert loaded() is None and names["Own"] == 1


class Loaded:
    """As a LoadedModule."""

    def __init__(self):
        self.namespace, self.own = {"Own": 1}, frozenset(("Own",))


_NAMES = st.sampled_from(["Own", "Both", "Mod", "f", "int", "Missing", "None", "Own.at", "Own.more"])
_EXPRESSIONS = st.recursive(_NAMES, lambda part: st.one_of(
    st.builds("({}) | {}".format, part, part), st.builds("({})[{}, 1]".format, part, part),
    st.builds("[{}, {}]".format, part, part), st.builds("({}).x".format, part), st.builds("-({})".format, part),
    st.builds("({})({})".format, part, part), st.builds("({} if {} else 0)".format, part, part)), max_leaves=5)


@pytest.mark.skipif(sys.version_info < (3, 14), reason="annotations are evaluated when they are made")
@pytest.mark.filterwarnings("ignore::SyntaxWarning")
@settings(max_examples=200, deadline=None)
@given(st.lists(_EXPRESSIONS, min_size=1, max_size=3))
def test_any_annotations_are_those_of_a_module_with_these_names(expressions):
    """In all formats, and what forward references are when they are evaluated later."""
    import annotationlib
    file, module, names = spaces()
    written = {**module, "Own": file["Own"], "Both": 2}
    exec(f"def f({', '.join(f'p{n}: {text}' for n, text in enumerate(expressions))}): pass", space := {})
    f, ours, theirs = space["f"], [], []
    for told, globals, namespace in (ours, names, module), (theirs, written, written):
        annotate = FunctionType(f.__annotate__.__code__, globals)
        for format in annotationlib.Format.VALUE, annotationlib.Format.FORWARDREF, annotationlib.Format.STRING:
            told.append(made := outcome(annotationlib.call_annotate_function, annotate, format, owner=f))
            namespace["Missing"] = Missing
            told += [outcome(value.evaluate) for value in (made.values() if type(made) is dict else ())
                      if isinstance(value, annotationlib.ForwardRef)]
            del namespace["Missing"]
    assert repr(ours) == repr(theirs)


class Missing:
    """What is there later."""
    x = more = at = int


def outcome(function, *args, **kwargs):
    try:
        return function(*args, **kwargs)
    except Exception as error:
        return error
