"""What the tests of names and of new functions share: livepatch files written in a line, put in force, or refused."""
ALL = "patch = Patch([Object(%r, [%s])])"


def patch(program, module, text, *names, **params):
    """Puts functions of a livepatch text in force; names: 'f' or 'C.m' or 'old=new'."""
    return program.patch(text + "\n" + ending(module, *names), **params)


def ending(module, *names):
    pairs = [each.partition("=") for each in names]
    return ALL % (module.__name__, ", ".join("Func(%r, %s)" % (old, new or old) for old, _, new in pairs))


def refused(program, module, text, *names):
    return program.refused(text + "\n" + ending(module, *names))
