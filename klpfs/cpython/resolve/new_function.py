"""New functions: from the node in a livepatch file to the code that runs in place of a definition.

Each is compiled alone, so that its free variables are exactly the original's (the live closures stay as they are), its
private names are mangled as the real class does, and its lines are the livepatch file's.
"""
import ast
import sys
from errno import EINVAL
from types import CodeType

from klpfs.engine.error import KlpError
from klpfs.engine.log import pr_err, pr_warn
from klpfs.cpython.resolve.codes import (CO_ITERABLE_COROUTINE, CO_NESTED, flavour, GENLIKE, globals_of, inner,
                                         is_definition)
from klpfs.cpython.load.name_rewriter import arguments, CLASS, copied, exchange, nonlocals, OWN, Rewriter, Unrewritable
from klpfs.cpython.load.parse import parse

_OUTER = "klpfs_outer"


class NewCode:
    """What a Func's definition becomes: a Func's `version`. The same for all its function objects, but for closures.

    code: code object; None for a nop. keeps_defaults: each function object keeps its own. defaults, kwdefaults,
    annotations, doc, type_params: as a function has them. settle: None, or a function that gives (defaults, kwdefaults)
    for a function object whose original is this Image; called once the pre_patch callbacks have run, KlpError EINVAL.
    """

    __slots__ = ("definition", "code", "defaults", "kwdefaults", "keeps_defaults", "annotations", "doc", "type_params",
                 "settle")

    def __init__(self, definition, code=None):
        self.definition, self.code = definition, code
        self.defaults = self.kwdefaults = self.annotations = self.doc = None
        self.type_params, self.keeps_defaults, self.settle = (), False, None


def as_in_file(code, node, blocks, class_name, definition, plain, log):
    """The code object of a new function, made of what it has in its file, `code`, where compiling it alone would give the
    same; None: it has to be compiled alone (which takes ten times as long).

    blocks: names of the class blocks around the function. plain(name): a global name is the patched module's.
    """
    own = ".".join(blocks + (code.co_name,))
    if (code.co_freevars or definition.code.co_freevars or isinstance(node, ast.Lambda)
            or class_name != (blocks[-1] if blocks else None) or getattr(code, "co_qualname", own) != own
            or not all(map(plain, globals_of(code)))):
        return None
    return _finished(exchange(code, {}), own, definition, log)


def compile_function(node, class_name, definition, choose, constants, path, flags, log, owner=None):
    """The code object of a new function for `definition`.

    node: FunctionDef, AsyncFunctionDef or Lambda, not changed. class_name: the real class when it was written in a class
    block, else None. choose: as Rewriter's. constants: marker -> object. flags: of the file's future statements. owner:
    function that gives the real class, called when the new code needs it and no cell has it. KlpError EINVAL.
    """
    original = definition.code
    new = copied(node)
    strip(new)
    free = original.co_freevars
    odd = [name for name in free if not name.isidentifier()]
    if odd:
        raise _refused(log, definition, "it has the free variable '%s'" % odd[0])
    rebound = nonlocals(new)
    lacking = sorted(rebound - set(free))
    if lacking:
        raise _refused(log, definition, "its closures have no variable '%s', which it declares nonlocal" % lacking[0])
    has_cell = "__class__" in free
    rewriter = Rewriter(choose, bool(flags & _future_annotations()), has_cell or class_name is None, free)
    if class_name is not None:
        rewriter.push_block(class_name)
    try:
        new = rewriter.function(new)
    except Unrewritable as error:
        raise _refused(log, definition, "%s:%d: %s" % (path, error.node.lineno, error.text)) from None
    _force(new, [name for name in free if name not in rebound])
    code = _find(compile(_wrapped(new, class_name, free), path, "exec", flags=flags, dont_inherit=True), new)
    lacking = sorted(set(code.co_freevars) - set(free))
    if lacking:
        raise _refused(log, definition, "its closures have no variable '%s'" % lacking[0])
    if code.co_freevars != free:
        raise _refused(log, definition, "its free variables are not the original's")
    if _has(code, CLASS):
        constants = dict(constants)
        constants[CLASS] = owner() if owner is not None else None
        if constants[CLASS] is None:
            raise _refused(log, definition, "its class, for super() or __class__, is not to be found")
    return _finished(exchange(code, constants), _own_name(new, class_name, free), definition, log)


def _finished(code, own, definition, log):
    """`code`, compiled as `own`, with the original's names and flags."""
    original = definition.code
    if (code.co_flags ^ original.co_flags) & GENLIKE:
        raise _refused(log, definition, "it is a %s, what replaces it a %s" % (flavour(original), flavour(code)))
    taken = CO_ITERABLE_COROUTINE | CO_NESTED       # types.coroutine marks the code itself; we may have compiled it nested
    flags = code.co_flags & ~taken | original.co_flags & taken
    return renamed(code, own, original, definition.name, flags)


def _refused(log, definition, why):
    return KlpError(EINVAL, pr_err(log, "function '%s' in object '%s' cannot be replaced: %s"
                                   % (definition.name, definition.shown, why)))


def _future_annotations():
    import __future__
    return __future__.annotations.compiler_flag


def strip(node):
    """Takes away what is evaluated around a function: decorators, annotations; defaults become None."""
    none = ast.copy_location(ast.Constant(None), node)
    node.args.defaults = [none for _ in node.args.defaults]
    node.args.kw_defaults = [each and none for each in node.args.kw_defaults]
    for each in arguments(node):
        each.annotation = None
    if not isinstance(node, ast.Lambda):
        node.decorator_list, node.returns = [], None


def _force(node, free):
    """Makes names free variables of the function, without any effect when it runs and without moving its lines."""
    if not free:
        return
    names = ast.Tuple([ast.Name(each, ast.Load()) for each in free], ast.Load())
    if isinstance(node, ast.Lambda):
        node.body = ast.IfExp(ast.Constant(True), node.body, names)
        _place(node.body, node)
        return
    documented = ast.get_docstring(node, clean=False) is not None
    at = 1 if documented else 0
    here = node.body[at] if at < len(node.body) else node.body[-1]
    statement = ast.If(ast.Constant(False), [ast.Expr(names)], [])
    for each in ast.walk(statement):
        _place(each, here)
    node.body.insert(at, statement)


def _place(node, like):
    for each in ast.walk(node):
        if not hasattr(each, "lineno") and hasattr(each, "_attributes") and "lineno" in each._attributes:
            each.lineno = each.end_lineno = like.lineno
            each.col_offset = each.end_col_offset = like.col_offset


def _wrapped(node, class_name, free):
    """A module with a function that has the free variables, with the class if there is one, with the function.

    A name that the wrapping itself binds is declared global there: the function must go on to see the module's.
    """
    name = None if isinstance(node, ast.Lambda) else node.name
    inside = ast.Expr(node) if name is None else node
    cells = list(free)
    if class_name is not None:
        cells = [each for each in cells if each != "__class__"]
        inside = ast.ClassDef(name=class_name, bases=[], keywords=[], body=[inside], decorator_list=[])
        inside.type_params = []
        name = class_name
    body = [inside]
    if name is not None and name not in cells:
        body.insert(0, ast.Global([name]))
    args = ast.arguments(posonlyargs=[], args=[ast.arg(each) for each in cells], vararg=None, kwonlyargs=[], kw_defaults=[],
                         kwarg=None, defaults=[])
    outer = ast.FunctionDef(name=_OUTER, args=args, body=body, decorator_list=[], returns=None)
    outer.type_params = []
    for each in (outer, inside, *body, *args.args):
        if each is not node:
            ast.copy_location(each, node)
    return ast.Module(body=[outer], type_ignores=[])


def _find(code, node):
    """The function's own code in the wrapping's."""
    name = "<lambda>" if isinstance(node, ast.Lambda) else node.name
    todo = inner(code)[:1]  # the wrapping function
    todo = inner(todo[0])
    while todo:
        each = todo.pop(0)
        if is_definition(each) and each.co_name == name:
            return each
        todo[:0] = inner(each)
    raise AssertionError("no code of '%s'" % name)


def _has(code, marker):
    return any(type(each) is str and each == marker or type(each) is CodeType and _has(each, marker)
               for each in code.co_consts)


def renamed(code, own, original, name, flags):
    """`code`, compiled as `own`, with the original's names, and what is nested in it accordingly."""
    if own != name:
        if sys.version_info >= (3, 11):
            code = _prefixed(code, own, name)
        else:
            code = _prefixed_constants(code, own + ".<locals>.", name + ".<locals>.")
    if code.co_name == original.co_name and code.co_flags == flags:
        return code
    return code.replace(co_name=original.co_name, co_flags=flags)


def _own_name(node, class_name, free):
    """The qualified name that the wrapped function is compiled with."""
    name = "<lambda>" if isinstance(node, ast.Lambda) else node.name
    first = class_name or name
    whole = name if class_name is None else "%s.%s" % (class_name, name)
    return whole if first != "<lambda>" and first not in free else "%s.<locals>.%s" % (_OUTER, whole)


def _prefixed(code, old, new):
    def under(each):
        if type(each) is not CodeType:
            return each
        return _prefixed(each, old, new)
    name = code.co_qualname
    if name == old or name.startswith(old + "."):
        name = new + name[len(old):]
    return code.replace(co_qualname=name, co_consts=tuple(under(each) for each in code.co_consts))


def _prefixed_constants(code, old, new):
    def under(each):
        if type(each) is CodeType:
            return _prefixed_constants(each, old, new)
        return new + each[len(old):] if type(each) is str and each.startswith(old) else each
    return code.replace(co_consts=tuple(under(each) for each in code.co_consts))


def warn_signature(definition, code, log):
    """One line when callers of the original may not fit the new function's parameters."""
    if _parameters(definition.code) != _parameters(code):
        pr_warn(log, "function '%s' in object '%s' takes other parameters than what it replaces"
                % (definition.name, definition.shown))


def _parameters(code):
    count = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & 4) + bool(code.co_flags & 8)
    return code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags & 12, code.co_varnames[:count]


def annotations(new, definition, loaded, constants, namespace, compiled):
    """The annotations of a new function, evaluated in the patched module; what can't be evaluated yet stays text.

    compiled: dict for the code of annotations met before, one for each file and object: most functions share theirs.
    Where the file or the original's has `from __future__ import annotations`, they are text anyway.
    """
    texts = new.__annotations__
    if (loaded.file.flags | definition.code.co_flags) & _future_annotations():
        return dict(texts)
    found = {}
    for name, text in texts.items():
        found[name] = text
        try:
            code = compiled.get(text)
            if code is None:
                rewriter = Rewriter(lambda each, node: OWN if each in loaded.own else None)
                rewriter.inside = 1
                body = rewriter.visit(parse(text, mode="eval").body)
                code = compile(ast.fix_missing_locations(ast.Expression(body)), loaded.path, "eval", dont_inherit=True)
                code = compiled[text] = exchange(code, constants)
            found[name] = eval(code, namespace)
        except Exception:
            continue
    return found
