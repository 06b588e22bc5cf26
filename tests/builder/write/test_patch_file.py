"""The livepatch's text."""
import ast
import re

from klpfs.builder.write.patch_file import Names


def test_what_is_refused_gets_a_stub(upgrade):
    upgrade.write("import os\nos.environ.setdefault('KLP_NONE', '1')\ndef f(): return 1\n",
                  "import os\ndef f(): return 2\n")
    result = upgrade.build()
    assert not result.text and ":2" in result.refused[0].place
    result = upgrade.build(allow=True)
    assert "def by_hand_" in result.text and "__init__.py:2" in result.text
    upgrade.module()
    patch = upgrade.insmod(result.text)
    assert upgrade.module().f() == 2
    upgrade.disable(patch)


def test_the_main_program(upgrade):
    upgrade.write("def f(): return 1\n", "def f(): return 2\n")
    assert "Object(None, funcs=[" in upgrade.build(main=upgrade.name).text


def test_names_of_the_file_are_given_once():
    names = Names(("patch",))
    assert [names.new(each) for each in ("f", "f", "patch", "f")] == ["f", "f_2", "patch_2", "f_3"]


def test_the_file_is_python_that_says_what_it_is(upgrade):
    upgrade.write({"__init__.py": "__version__ = '1'\ndef f(a, b=[]): return 1\nT = 1\n", "data.txt": "1"},
                  {"__init__.py": "__version__ = '2'\ndef f(a, b=[]): return 2\nT = 2\n", "fresh.py": "x = 1\n",
                   "data.txt": "2"})
    text = upgrade.build().text
    tree = ast.parse(text)
    assert ast.get_docstring(tree).startswith("old -> new, by klpfs build.\n") and "\n- data file" in text
    assert "from klpfs import Func, ImportTime, NewModule, Object, Patch, unchanged\n" in text and "b=unchanged" in text
    assert text.endswith("    ],\n    replace=True,\n)\n") and "NewModule(" in text


def test_methods_stand_in_a_block_of_their_class(upgrade):
    text = """
        class A:
            class B:
                def __f(self): return 1
            @property
            def p(self): return 1
            @p.setter
            def p(self, value): self.x = 1
        """
    upgrade.write(text, text.replace("1", "2"))
    text = upgrade.build().text
    assert "class A:\n\n    class B:\n        # line 4: body\n        def __f(self): return 2\n" in text
    for func in ('"A.B.__f", A.B._B__f', '"A.p", A_2.p, 1', '"A.p", A_2.p_setter, 2'):
        assert f"Func({func}," in text


def test_fingerprints_of_all_pythons(upgrade):
    upgrade.write("def f(): return 1", "def f(): return 2")
    text = upgrade.build().text
    assert re.search(r'Func\("f", f,\n {17}fingerprint=\'\d\.\d+:\w+\'\),\n', text)
