"""What objects made before a patch hold, and what the new code of their class expects of them: the differences.

compare() follows the constructors of a class in OLD and in NEW, without running them: each attribute's value as an
expression of the parameters, of other attributes and of globals. From that it says how an attribute that old objects lack
can be had from what they do hold, as the source of a function of the object. What cannot be told is a Refused, by line.
"""
import ast
import copy

from attrs import field, frozen

_CONSTRUCTORS = ("__init__", "__post_init__", "__attrs_post_init__")
_FALSY = {"bool": "False", "int": "0", "float": "0.0", "str": "''", "bytes": "b''"}
_DEEP = 60      # nodes of an expression, above which nobody could review it


@frozen
class Value:
    """An attribute that old objects lack. value: its expression: a constant, or made of `self` and globals. slot: the
    object has no place for it. line: of NEW, where it is set."""

    name: str
    value: ast.expr
    slot: bool = False
    line: int = 0

    @property
    def constant(self) -> bool:
        """The same immutable value for every object: an attribute of the class will do."""
        return _immutable(self.value)

    @property
    def source(self) -> str:
        return ast.unparse(self.value)


@frozen
class Changed:
    """An attribute of another form. values: (old, new) constants that stand for each other; part: as fields.Form."""

    name: str
    values: tuple
    part: bool = False
    line: int = 0


@frozen
class Refused:
    """An attribute that can't be carried: old objects lack it, or hold another form, and `why` nothing can be done."""

    name: str
    why: str
    line: int = 0


@frozen
class Layout:
    """Attributes of one class, by how they are carried."""

    values: list = field(factory=list)
    changed: list = field(factory=list)
    refused: list = field(factory=list)
    unread: list = field(factory=list)      # names that old objects lack, but no code of the package asks for

    def __bool__(self):
        return bool(self.values or self.changed or self.refused)


def compare(old: ast.ClassDef, new: ast.ClassDef, readers=lambda name: ()) -> Layout:
    """How objects of `old` come to have what code of `new` expects. Both are definitions of one class.

    readers(name): NEW's syntax trees in which an attribute of that name may be read, of the whole package; asked for the fields
    of a dataclass that have no default.
    """
    found = Layout()
    was, now = constructed(old), constructed(new)
    held = set(was) | class_names(old)
    slots = _slots(new)
    no_place = _slots(old) is not None and "__dict__" not in _slots(old)
    for name, (value, line) in now.items():
        if name in held or name in class_names(new):
            continue
        carried = None if value is None else _from_old(value, was, parameters(old), parameters(new), class_names(new))
        carried = carried or _first_constant(new, name)
        trees = readers(name) if carried is None else ()
        if carried is None and trees and all(use for tree in trees for use in _uses(tree, name)):
            carried = ast.Constant(None)    # NEW only asks whether it is so, and for OLD's objects it is not
        if carried is None and trees and not any(_read(tree, name) for tree in trees):
            found.unread.append(name)
        elif carried is None:
            found.refused.append(Refused(name, f"'{name}' is new, and objects made before have nothing that it could be had from", line))
        else:
            found.values.append(Value(name, carried, no_place, line))
    for name in sorted(set(slots or ()) - set(_slots(old) or ()) - set(now) - held - {"__dict__", "__weakref__"}) if no_place else ():
        found.values.append(Value(name, None, True, new.lineno))    # set by a method, later: there is none before
    if _is_dataclass(new):
        _fields(old, new, readers, held, found)
    _forms(old, new, was, now, found)
    return found


# ------------------------------------------------------------------------------------------------- what constructors set

def constructed(node: ast.ClassDef) -> dict:
    """{attribute: (expression or None where it can't be told, line)} of what a class's own constructors set on `self`."""
    methods = {each.name: each for each in node.body if isinstance(each, ast.FunctionDef)}
    found = {}
    for name in _CONSTRUCTORS:
        if name in methods:
            _Run(methods, found, node.name).call(methods[name])
    return found


def parameters(node: ast.ClassDef) -> dict:
    """{parameter of __init__: its default's node, or None} without self; all parameters that can be given by name."""
    for each in node.body:
        if isinstance(each, ast.FunctionDef) and each.name == "__init__":
            args = each.args
            plain = args.posonlyargs + args.args
            found = {arg.arg: None for arg in plain[1:] + args.kwonlyargs}
            found.update({arg.arg: value for arg, value in zip(plain[::-1], args.defaults[::-1])})
            found.update({arg.arg: value for arg, value in zip(args.kwonlyargs, args.kw_defaults) if value is not None})
            return found
    return {}


def class_names(node: ast.ClassDef) -> set:
    """Names that a class block binds to a value."""
    found = {each.name for each in node.body if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))}
    for each in node.body:
        if isinstance(each, ast.Assign):
            found.update(target.id for target in each.targets if isinstance(target, ast.Name))
        elif isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name) and each.value is not None:
            found.add(each.target.id)
    return found


class _Run:
    """A constructor followed through assignments and branches; what loops, handlers and calls may do is unknown."""

    def __init__(self, methods, attributes, owner, depth=0):
        self.methods, self.attributes, self.owner, self.depth = methods, attributes, owner, depth
        self.names = {}     # local name -> expression, None: unknown

    def call(self, method):
        every = method.args.posonlyargs + method.args.args
        self.me = every[0].arg if every else None
        known = every[1:] + method.args.kwonlyargs if self.depth == 0 and method.name == "__init__" else []
        self.names = {each.arg: None for each in ast.walk(method.args) if isinstance(each, ast.arg)}
        self.names.update({each.arg: ast.Name(each.arg, ast.Load()) for each in known})
        for each in (method.args.vararg, method.args.kwarg) if known else ():
            if each is not None:    # can be compared, but nobody keeps it
                self.names[each.arg] = ast.Name("*" + each.arg, ast.Load())
        self.names.pop(self.me, None)
        self.block(method.body)

    def block(self, statements):
        for each in statements:
            self.statement(each)

    def statement(self, node):
        if isinstance(node, ast.Assign):
            value = self.value(node.value)
            for target in node.targets:
                self.store(target, value)
        elif isinstance(node, ast.AnnAssign):
            if node.value is not None:
                self.store(node.target, self.value(node.value))
        elif isinstance(node, ast.If):
            self.branch(node)
        elif isinstance(node, ast.Expr) and self.helper(node.value):
            if self.depth < 3:
                _Run(self.methods, self.attributes, self.owner, self.depth + 1).call(self.methods[node.value.func.attr])
        elif isinstance(node, (ast.Return, ast.Raise, ast.Assert, ast.Pass, ast.Expr, ast.Import, ast.ImportFrom)):
            for alias in getattr(node, "names", ()):
                self.names[alias.asname or alias.name.partition(".")[0]] = None
        else:
            self.forget(node)

    def helper(self, node):
        """self.reset(): a method of the class that sets attributes."""
        return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and self.is_me(node.func.value) and (
            node.func.attr in self.methods)

    def is_me(self, node):
        return isinstance(node, ast.Name) and node.id == self.me

    def branch(self, node):
        test, names, attributes = self.value(node.test), dict(self.names), dict(self.attributes)
        self.block(node.body)
        then_names, then_attributes = self.names, dict(self.attributes)
        self.names = dict(names)
        self.attributes.clear()
        self.attributes.update(attributes)
        self.block(node.orelse)
        leaves = [part and isinstance(part[-1], (ast.Raise, ast.Return)) for part in (node.body, node.orelse)]
        for name in set(then_names) | set(self.names):
            one, other = then_names.get(name), self.names.get(name)
            self.names[name] = other if leaves[0] else one if leaves[1] else _either(test, one, other)
        for name in set(then_attributes) | set(self.attributes):
            one, other = then_attributes.get(name), self.attributes.get(name)
            if leaves[0] and other or not one:
                chosen = other[0] if leaves[0] else None
            elif leaves[1] and one or not other:
                chosen = one[0] if leaves[1] else None
            else:
                chosen = _either(test, one[0], other[0])
            self.attributes[name] = chosen, (one or other)[1]

    def forget(self, node):
        """Whatever a statement may set is unknown from here on."""
        for each in ast.walk(node):
            if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store):
                self.names[each.id] = None
            elif isinstance(each, ast.Attribute) and isinstance(each.ctx, ast.Store) and self.is_me(each.value):
                self.attributes[self.mangled(each.attr)] = None, each.lineno

    def store(self, target, value):
        if isinstance(target, ast.Name):
            self.names[target.id] = value
        elif isinstance(target, ast.Attribute) and self.is_me(target.value):
            self.attributes[self.mangled(target.attr)] = value, target.lineno
        elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
            for one, its in zip(target.elts, value.elts):
                self.store(one, its)
        else:
            self.forget(target)

    def mangled(self, name):
        from klpfs.cpython.load.name_rewriter import mangle
        return mangle(name, self.owner)

    def value(self, node):
        """An expression with the locals put in; None: it depends on what is unknown."""
        made = _Substitute(self).visit(copy.deepcopy(node))
        return None if made is None or sum(1 for _ in ast.walk(made)) > _DEEP else made


class _Unknown(Exception):
    pass


class _Substitute(ast.NodeTransformer):
    def __init__(self, run):
        self.run, self.bound = run, set()

    def visit(self, node):
        if isinstance(node, (ast.Await, ast.Yield, ast.YieldFrom, ast.NamedExpr)):
            return None
        if not self.bound and not hasattr(self, "outer"):
            self.outer = True
            for each in ast.walk(node):     # names of lambdas and comprehensions are their own
                if isinstance(each, ast.arg):
                    self.bound.add(each.arg)
                elif isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store):
                    self.bound.add(each.id)
            try:
                return super().visit(node)
            except _Unknown:
                return None
        return super().visit(node)

    def visit_Name(self, node):
        if node.id == self.run.me and node.id not in self.bound:
            return ast.copy_location(ast.Name("self", ast.Load()), node)
        if node.id in self.bound or node.id not in self.run.names:
            return node
        value = self.run.names[node.id]
        if value is None:
            raise _Unknown
        return copy.deepcopy(value)

    def visit_Attribute(self, node):
        node = self.generic_visit(node)
        node.attr = self.run.mangled(node.attr)
        return node


def _either(test, one, other):
    if one is None or other is None:
        return None
    if ast.dump(one) == ast.dump(other):
        return one
    return None if test is None else ast.IfExp(test, one, other)


# ---------------------------------------------------------------------------------------------- from what old objects have

def _from_old(value, was, old, new, shadowed):
    """The expression with NEW's parameters replaced by what an old object still knows of them; None: it does not.

    shadowed: names that NEW's class gives another meaning: what old objects hold under them is in their dict."""
    def held(name):
        text = f"self.__dict__[{name!r}]" if name in shadowed else f"self.{name}"
        return ast.parse(text, mode="eval").body
    for name, (each, _) in was.items():
        if each is not None and not _immutable(each) and ast.dump(each) == ast.dump(value):
            return held(name)   # the same, under another name
    keeper = {}     # parameter -> OLD's attribute that holds it
    for name, (each, _) in was.items():
        if isinstance(each, ast.Name) and each.id in old:
            keeper.setdefault(each.id, name)
    for one, other in zip(old, new):  # a parameter that has another name at its place
        if one not in new and other not in old and one in keeper:
            keeper[other] = keeper[one]

    class Replace(ast.NodeTransformer):
        def visit_Name(self, node):
            if node.id.startswith("*"):
                raise _Unknown
            if node.id not in new:
                return node
            if node.id in keeper:
                return held(keeper[node.id])
            if node.id in old or new[node.id] is None:
                raise _Unknown
            return copy.deepcopy(new[node.id])
    try:
        return ast.fix_missing_locations(Replace().visit(copy.deepcopy(value)))
    except _Unknown:
        return None


def _first_constant(node, name):
    """What __init__ makes of an attribute before anything happens to the object; None: that is no constant."""
    for method in node.body:
        if isinstance(method, ast.FunctionDef) and method.name == "__init__":
            for each in method.body:
                if isinstance(each, (ast.Assign, ast.AnnAssign)) and each.value is not None and _immutable(each.value):
                    targets = each.targets if isinstance(each, ast.Assign) else [each.target]
                    if any(isinstance(one, ast.Attribute) and one.attr == name and isinstance(one.value, ast.Name) for one in targets):
                        return each.value
    return None


def _read(tree, name):
    """Whether code asks an object for an attribute of this name."""
    return any(isinstance(each, ast.Attribute) and each.attr == name and isinstance(each.ctx, ast.Load) or
               isinstance(each, ast.Constant) and each.value == name for each in ast.walk(tree))


def _immutable(node):
    try:
        value = ast.literal_eval(node)
        hash(value)
    except (ValueError, TypeError, SyntaxError):
        return False
    return True


def _slots(node):
    """The names of a class's __slots__; None: it has none, or they can't be read."""
    for each in node.body:
        if isinstance(each, ast.Assign) and any(isinstance(target, ast.Name) and target.id == "__slots__" for target in each.targets):
            try:
                found = ast.literal_eval(each.value)
            except ValueError:
                return None
            return (found,) if isinstance(found, str) else tuple(found)
    return None


def _is_dataclass(node):
    names = {getattr(each, "id", getattr(each, "attr", "")) for given in node.decorator_list for each in ast.walk(given)}
    return bool(names & {"dataclass", "define", "frozen", "mutable", "attrs", "attr"})


def annotated(node: ast.ClassDef) -> dict:
    """{name: its statement} of the annotated names of a class block, ClassVars left out."""
    return {each.target.id: each for each in node.body if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
            and "ClassVar" not in ast.unparse(each.annotation)}


def _fields(old, new, readers, held, found):
    """Fields that are new in a dataclass: another one's new name; their default; else what a test takes for 'not so'."""
    before, after = annotated(old), annotated(new)
    gone = [name for name in before if name not in after]
    came = [name for name in after if name not in before]
    for name in came:
        each = after[name]
        if name in held:
            continue
        renamed = [one for one in gone if _shape(before[one]) == _shape(each)]
        if len(renamed) == 1 and [_shape(after[one]) for one in came].count(_shape(each)) == 1:
            value = ast.Attribute(ast.Name("self", ast.Load()), renamed[0], ast.Load())
        elif each.value is not None and not described(each.value):
            continue    # an attribute of the class, as any other
        else:
            value = _default(each.value) or _unset(name, each.annotation, readers)
        if value is None:
            found.refused.append(Refused(name, f"the new field '{name}' has no default that objects made before could have", each.lineno))
        else:
            found.values.append(Value(name, ast.fix_missing_locations(value), False, each.lineno))


def _shape(node):
    return ast.dump(node.annotation), node.value and ast.dump(node.value)


def described(node) -> bool:
    """field(...), attr.ib(...), Factory(...): not the value itself."""
    return isinstance(node, ast.Call) and (getattr(node.func, "id", getattr(node.func, "attr", "")) in ("field", "ib", "attrib", "Factory"))


def has_default(node) -> bool:
    """A field's description gives it a value of its own."""
    return getattr(node.func, "id", getattr(node.func, "attr", "")) == "Factory" or (
        _keyword(node, "default", "default_factory", "factory") is not None)


def kind_of(node) -> str:
    """What of a field's statement a decorator reads."""
    return f"{ast.unparse(node.annotation)} = {node.value and ast.unparse(node.value)}"


def _default(node):
    """What a field's description makes a new object's value, as an expression, or None."""
    if node is None:
        return None
    if getattr(node.func, "id", getattr(node.func, "attr", "")) == "Factory":
        return ast.Call(node.args[0], [], []) if node.args and len(node.args) == 1 and not node.keywords else None
    factory, default = _keyword(node, "default_factory", "factory"), _keyword(node, "default")
    value = ast.Call(factory, [], []) if factory is not None else _default(default) if described(default) else default
    converter = _keyword(node, "converter")
    return value if converter is None or value is None else ast.Call(converter, [value], [])


def _unset(name, annotation, readers):
    """For a field that is only ever asked whether it is true: the value that says no."""
    text = ast.unparse(annotation)
    falsy = _FALSY.get(text.strip("'\"")) or ("None" if "Optional[" in text or "None" in text.split(" | ") else None)
    uses = [use for tree in readers(name) for use in _uses(tree, name)]
    return ast.parse(falsy, mode="eval").body if falsy is not None and uses and all(uses) else None


def _keyword(node, *names):
    if isinstance(node, ast.Call):
        for each in node.keywords:
            if each.arg in names:
                return each.value
    return None


def _uses(tree, name):
    """For each place that reads an attribute of this name: whether it only asks if it is true."""
    tested = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.If, ast.IfExp, ast.While)):
            _tests(node.test, tested)
        elif isinstance(node, ast.comprehension):
            for each in node.ifs:
                _tests(each, tested)
    return [id(node) in tested for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and node.attr == name and isinstance(node.ctx, ast.Load)]


def _tests(node, tested):
    tested.add(id(node))
    if isinstance(node, ast.BoolOp):
        for each in node.values:
            _tests(each, tested)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        _tests(node.operand, tested)


# ------------------------------------------------------------------------------------------------------- another form

def _forms(old, new, was, now, found):
    for name in was:
        if name not in now or was[name][0] is None or now[name][0] is None:
            continue
        before, after = was[name][0], now[name][0]
        if _kind(before) == _kind(after) or None in (_kind(before), _kind(after)) or "None" in (_kind(before), _kind(after)):
            continue
        line = now[name][1]
        values = _pairs(old, new, name)
        if values is None or not (_immutable(before) and _immutable(after)):
            found.refused.append(Refused(name, f"'{name}' was {ast.unparse(before)} and is {ast.unparse(after)}: objects made before "
                                               "hold the old form", line))
            continue
        part = all(type(one) is int and isinstance(other, (str, bytes)) and len(other) == one for one, other in values) and _consumed(old, new, name)
        if not part and not _only_constants(new, name):
            found.refused.append(Refused(name, f"'{name}' was {ast.unparse(before)} and is {ast.unparse(after)}, and takes other values, too", line))
            continue
        found.changed.append(Changed(name, tuple(values), part, line))


def _kind(node):
    """What type of value an expression gives, as far as one can see."""
    if isinstance(node, ast.Constant):
        return type(node.value).__name__ if node.value is not None else "None"
    if isinstance(node, ast.UnaryOp) and isinstance(node.operand, ast.Constant):
        return type(node.operand.value).__name__
    for kind, name in ((ast.List, "list"), (ast.Dict, "dict"), (ast.Set, "set"), (ast.Tuple, "tuple"), (ast.ListComp, "list"),
                       (ast.DictComp, "dict"), (ast.SetComp, "set"), (ast.JoinedStr, "str")):
        if isinstance(node, kind):
            return name
    if isinstance(node, ast.Call) and isinstance(node.func, (ast.Name, ast.Attribute)):
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        return name if name in ("list", "dict", "set", "tuple", "deque", "OrderedDict", "defaultdict", "bytearray", "frozenset") else None
    return None


def _stores(node, name):
    """{method: [value node of each `self.NAME = value`, in order]}"""
    found = {}
    for method in node.body:
        if isinstance(method, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for each in ast.walk(method):
                if isinstance(each, ast.Assign) and any(isinstance(target, ast.Attribute) and target.attr == name for target in each.targets):
                    found.setdefault(method.name, []).append(each)
    return {method: sorted(each, key=lambda node: (node.lineno, node.col_offset)) for method, each in found.items()}


def _pairs(old, new, name):
    """[(old constant, new constant)] of assignments that stand at the same place; None: they contradict each other."""
    before, after = _stores(old, name), _stores(new, name)
    found = []
    for method in before:
        one = [each.value for each in before[method] if _immutable(each.value)]
        other = [each.value for each in after.get(method, ()) if _immutable(each.value)]
        if len(one) != len(other):
            return None
        found += [(ast.literal_eval(a), ast.literal_eval(b)) for a, b in zip(one, other)]
    unique = list(dict.fromkeys(found))
    if len({repr(one) for one, _ in unique}) != len(unique) or len({repr(other) for _, other in unique}) != len(unique):
        return None
    return unique


def _only_constants(node, name):
    return all(_immutable(each.value) for stores in _stores(node, name).values() for each in stores) and not any(
        isinstance(each, ast.AugAssign) and getattr(each.target, "attr", None) == name for each in ast.walk(node))


def _consumed(old, new, name):
    """OLD counts down by what NEW cuts off the front: self.x -= N, self.x = self.x[N:]."""
    taken = [ast.dump(each.value) for each in ast.walk(old) if isinstance(each, ast.AugAssign) and isinstance(each.op, ast.Sub)
             and getattr(each.target, "attr", None) == name]
    cut = []
    for stores in _stores(new, name).values():
        for each in stores:
            value = each.value
            if _immutable(value):
                continue
            if not (isinstance(value, ast.Subscript) and getattr(value.value, "attr", None) == name
                    and isinstance(value.slice, ast.Slice) and value.slice.upper is None and value.slice.lower is not None):
                return False
            cut.append(ast.dump(value.slice.lower))
    return bool(taken) and taken == cut
