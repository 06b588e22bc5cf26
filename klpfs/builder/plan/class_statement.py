"""What changes of a class beside its body: bases, decorators, fields that become a constructor, the layout of its objects.

Each becomes lines for the function that ImportTime runs: inside the block of the class, or after it.
"""
import ast
import copy
import typing

from attrs import define, field

from klpfs.builder.plan import object_layout
from klpfs.builder.compare.changes import ScopeChange
from klpfs.builder.compare.equivalence import decorator_name, dump, FUNCTIONS

_DATACLASS = ("dataclass",)
_ATTRS = ("define", "frozen", "mutable", "attrs", "s", "attributes", "dataclass")


@define
class Head:
    """inside: lines of the class's block. after: (lines that follow it). forms: {attribute: the one that new code uses}.
    init: a constructor written out, to be put in the place of the one that there is, or None. made: names that the class's
    decorators make: they are not removed. refused: (node, what, why). notes: what is said."""

    inside: "list[str]" = field(factory=list)
    after: "list[str]" = field(factory=list)
    forms: "dict[str, str]" = field(factory=dict)
    init: typing.Optional[ast.FunctionDef] = None
    made: "set[str]" = field(factory=set)
    refused: "list[tuple]" = field(factory=list)
    notes: "list[str]" = field(factory=list)

    def __bool__(self):
        return bool(self.inside or self.after or self.forms or self.init or self.refused)


def head_of(change: ScopeChange, readers: "typing.Callable[[str], list]") -> Head:
    """readers(name): NEW's syntax trees that mention an attribute of that name."""
    found = Head()
    _layout(change, readers, found)
    made = _generates(change.new)
    if made and (_fields_of(change.old) != _fields_of(change.new) or "decorators" in change.head or not _generates(change.old)):
        _generated(change, found)
    elif "decorators" in change.head:
        _decorators(change, found)
    if "bases" in change.head:
        _bases(change, found)
    if "keywords" in change.head:
        found.refused.append((change.new, f"class {change.name}: its keywords changed", "its metaclass runs only when a class is made"))
    return found


# ------------------------------------------------------------------------------------------------------ objects' layout

def _layout(change, readers, found) -> None:
    layout = object_layout.compare(change.old, change.new, readers)
    for each in layout.values:
        if each.slot:
            what = "klp.slot()" if each.value is None else f"klp.slot(lambda self: {each.source})"
        elif each.constant:
            what = f"klp.default({each.source})"
        else:
            what = f"klp.first_use(lambda self: {each.source})"
        found.inside.append(f"{each.name} = {what}  # objects made before have none")
    for each in layout.changed:
        name = "klp_" + each.name.lstrip("_")
        part = ", part=True" if each.part else ""
        found.inside.append(f"{name} = klp.form({each.name!r}, {list(each.values)!r}{part})  # objects go on holding the old form")
        found.forms[each.name] = name
    for each in layout.unread:
        found.notes.append(f"objects of {change.name} made before have no '{each}': no code of the package asks for it")
    for each in layout.refused:
        found.refused.append((_At(each.line), f"class {change.name}", each.why))


@define
class _At:
    lineno: int


def renamed(node: ast.AST, forms: "dict[str, str]") -> "list[ast.Attribute]":
    """The attributes in a function that are to have another name."""
    return [each for each in ast.walk(node) if isinstance(each, ast.Attribute) and each.attr in forms]


# ---------------------------------------------------------------------------------------------------------- the statement

def _bases(change, found) -> None:
    if all(ast.unparse(each) == "object" for each in change.old.bases):
        found.refused.append((change.new, f"class {change.name}: its bases changed", "CPython gives no bases to a class that had none"))
        return
    bases = ", ".join(ast.unparse(each) for each in change.new.bases) or "object"
    found.after.append(f"klp.bases({change.name}, {bases})\n")


def _decorators(change, found) -> None:
    was = [dump(each) for each in change.old.decorator_list]
    now = [dump(each) for each in change.new.decorator_list]
    if now[len(now) - len(was):] != was:
        found.refused.append((change.new, f"class {change.name}: its decorators changed", "what the old ones did can't be taken back"))
        return
    for each in reversed(change.new.decorator_list[:len(now) - len(was)]):
        found.after.append(f"klp.decorated({change.name}, {ast.unparse(each)})\n")


# ------------------------------------------------------------------------------------------- fields that make a constructor

def _generates(node) -> str:
    """'dataclass' or 'attrs': the decorator that makes methods of the fields; ''."""
    for each in node.decorator_list:
        name = decorator_name(each)
        last = name.rpartition(".")[2]
        if last in _DATACLASS and not name.startswith("attr"):
            return "dataclass"
        if last in _ATTRS and (last != "s" or name in ("attr.s", "attrs.s")):
            return "attrs"
    return ""


def _fields_of(node) -> "list[str]":
    return [f"{name}: {object_layout.kind_of(each)}" for name, each in object_layout.annotated(node).items()]


def _generated(change, found) -> None:
    new = change.new
    written = {each.name for each in new.body if isinstance(each, FUNCTIONS)}
    found.made |= {name for name in ("__init__", "__repr__", "__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "__hash__")
                   if name not in written}
    init = True
    if "__init__" not in written:
        before, after = parameters(change.old), parameters(new)
        if before is None or after is None or not compatible(before, after):
            found.init = written_init(new)
            if found.init is None:
                found.refused.append((new, f"class {change.name}: its fields changed", "old code could not call its new constructor"))
                return
            init = False
    skeleton = ast.unparse(ast.fix_missing_locations(_skeleton(new)))
    found.after.append(f"@klp.generated{'' if init else '(init=False)'}\n{skeleton}\n")


def _skeleton(node):
    """The class with its fields, and with methods that say no more than that they are there."""
    made = copy.deepcopy(node)
    body = []
    for each in made.body:
        if isinstance(each, FUNCTIONS):
            if not any(isinstance(one, ast.Attribute) and one.attr in ("default", "validator") for one in each.decorator_list):
                each.decorator_list = []
                each.body = [ast.Expr(ast.Constant(...))]
                each.returns = None
                each.args = ast.arguments([], [], ast.arg("_"), [], [], None, [])
            body.append(each)
        elif isinstance(each, (ast.AnnAssign, ast.Assign)):
            body.append(each)
    made.body = body or [ast.Pass()]
    return made


@define
class Parameters:
    """Of a constructor, without self. positional, keyword: {name: has a default}, in order. rest: takes any others."""

    positional: "dict[str, bool]"
    keyword: "dict[str, bool]"
    rest: bool = False


def parameters(node) -> typing.Optional[Parameters]:
    """Of a class's constructor, written or made of its fields; None: it can't be told."""
    for each in node.body:
        if isinstance(each, ast.FunctionDef) and each.name == "__init__":
            args = each.args
            plain = [one.arg for one in (args.posonlyargs + args.args)[1:]]
            return Parameters({name: at >= len(plain) - len(args.defaults) for at, name in enumerate(plain)},
                              {one.arg: value is not None for one, value in zip(args.kwonlyargs, args.kw_defaults)},
                              args.vararg is not None or args.kwarg is not None)
    kind = _generates(node)
    if not kind:
        return Parameters({}, {}) if not node.bases else None
    if any(ast.unparse(each) != "object" for each in node.bases):
        return None
    found = Parameters({}, {})
    keyword_only = any(_flag(each, "kw_only") for each in node.decorator_list)
    for name, each in object_layout.annotated(node).items():
        if ast.unparse(each.annotation).rpartition(".")[2] == "KW_ONLY":
            keyword_only = True
            continue
        described = object_layout.described(each.value) if each.value is not None else False
        if described and _flag(each.value, "init") is False:
            continue
        has = each.value is not None and (not described or object_layout.has_default(each.value))
        table = found.keyword if keyword_only or described and _flag(each.value, "kw_only") else found.positional
        table[name.lstrip("_") if kind == "attrs" else name] = has
    return found


def _flag(node, name):
    """A keyword's constant, None without it."""
    for each in getattr(node, "keywords", ()):
        if each.arg == name and isinstance(each.value, ast.Constant):
            return each.value.value
    return None


def compatible(old: Parameters, new: Parameters) -> bool:
    """Every call that the old constructor takes, the new one takes, with the same meaning."""
    if old.rest:
        return False
    was, now = list(old.positional), list(new.positional)
    if now[:len(was)] != was or any(old.positional[name] and not new.positional[name] for name in was):
        return False
    every = {**new.positional, **new.keyword}
    if any(name not in every or old.keyword[name] and not every[name] for name in old.keyword):
        return False
    return all(has for name, has in every.items() if name not in was and name not in old.keyword)


def written_init(node) -> typing.Optional[ast.FunctionDef]:
    """The constructor that a dataclass makes, as a definition; None: not one of the plain kind."""
    if _generates(node) != "dataclass" or any(ast.unparse(each) != "object" for each in node.bases):
        return None
    frozen = any(_flag(each, "frozen") for each in node.decorator_list)
    if any(_flag(each, "kw_only") for each in node.decorator_list):
        return None
    args, defaults, body = ["self"], [], []
    for name, each in object_layout.annotated(node).items():
        text = ast.unparse(each.annotation)
        if "InitVar" in text or "KW_ONLY" in text or each.value is not None and not isinstance(each.value, ast.Constant):
            return None
        args.append(name)
        if each.value is not None:
            defaults.append(ast.unparse(each.value))
        body.append(f"    object.__setattr__(self, {name!r}, {name})" if frozen else f"    self.{name} = {name}")
    plain = len(args) - len(defaults)
    shown = args[:plain] + [f"{name}={value}" for name, value in zip(args[plain:], defaults)]
    if any(isinstance(each, ast.FunctionDef) and each.name == "__post_init__" for each in node.body):
        body.append("    self.__post_init__()")
    made = ast.parse(f"def __init__({', '.join(shown)}):\n" + "\n".join(body or ["    pass"])).body[0]
    for each in ast.walk(made):
        if hasattr(each, "lineno"):
            each.lineno = each.end_lineno = node.lineno
    return made


