"""What the tests of names and of new functions share: livepatch files written in a line, put in force, or refused."""
ALL = "patch = Patch([Object(%r, [%s])])"


def patch(program, module, text, *names, **params):
    """Puts functions of a livepatch text in force; names: 'f' or 'C.m' or 'old=new'."""
    return program.patch(livepatch(module, text, *names), **params)


def ending(module, *names):
    pairs = [each.partition("=") for each in names]
    return ALL % (module.__name__, ", ".join("Func(%r, %s)" % (old, new or old) for old, _, new in pairs))


def refused(program, module, text, *names):
    """(errno name, last log line) of a livepatch text that can't be put in force."""
    return program.refused(livepatch(module, text, *names))


def livepatch(module, text, *names):
    """The text of a livepatch file for a module."""
    return text + "\n" + ending(module, *names)


def many(program, count):
    """A module of `count` functions, a livepatch that replaces them, loaded; its Patch."""
    module = program.module("".join("def f%d(a): return 0\n" % n for n in range(count)))
    names = ["f%d" % n for n in range(count)]
    text = livepatch(module, "".join("def f%d(a): return 1\n" % n for n in range(count)), *names)
    return module, program.load(text).patch


def resolved(program, obj):
    """Resolves the functions of an object, as the engine does."""
    for func in obj.funcs:
        func.obj = obj
        program.target.resolve(obj, func)
