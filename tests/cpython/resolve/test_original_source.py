"""The source of a loaded module: believed only where it is that of what is running."""


from tests.cpython.resolve.index_kit import failure, functions


def test_without_the_source_first_lines_decide(program):
    module = program.module("def f(): return 1\nfirst = f\ndef f(): return 2")
    (program.folder / (module.__name__ + ".py")).unlink()
    assert functions(program, module, "f", 1) == [module.first]
    assert functions(program, module, "f", 2) == [module.f]


def test_what_types_coroutine_does_to_code_does_not_hide_the_source(program):
    """It gives the function a copy of its code, with a flag more."""
    module = program.module("import types\n@types.coroutine\ndef c(): yield\ntwo = (lambda: 1), (lambda: 2)")
    assert functions(program, module, "<lambda>", 2) == [module.two[1]]
    assert functions(program, module, "c") == [module.c]


def test_a_file_that_was_replaced_is_not_believed(program):
    """An upgrade on disk, the very reason for a livepatch, must not shift positions."""
    module = program.module("def f(): return 1\nfirst = f\ndef f(): return 2\ndef g(): pass")
    (program.folder / (module.__name__ + ".py")).write_text("def f(): pass\n" * 3 + "def f(): return 2\n")
    assert functions(program, module, "f", 1) == [module.first]
    assert functions(program, module, "f", 2) == [module.f]
    assert "position 3" in failure(program, module, "f", 3)
