"""Constructors of classes: their parameters, written or made of fields, and whether old calls fit a new constructor."""
from __future__ import annotations

import ast

from attrs import define

from klpfs.builder.plan.dataclass_fields import annotated, flag, has_default, is_described, maker_of


@define
class Parameters:
    """The parameters of a constructor, without self. positional, keyword: {name: has a default}, in order. rest: takes
    any others."""

    positional: dict[str, bool]
    keyword: dict[str, bool]
    rest: bool = False


def parameters_of(node: ast.ClassDef) -> Parameters | None:
    """The parameters of a class's constructor, written or made of its fields; None: the class's text does not say."""
    for statement in node.body:
        if isinstance(statement, ast.FunctionDef) and statement.name == "__init__":
            return _written(statement.args)
    maker = maker_of(node)
    if not maker:
        return Parameters({}, {}) if not node.bases else None
    if any(ast.unparse(base) != "object" for base in node.bases):
        return None
    return _of_fields(node, maker)


def _written(args: ast.arguments) -> Parameters:
    names = [arg.arg for arg in (args.posonlyargs + args.args)[1:]]
    return Parameters({name: at >= len(names) - len(args.defaults) for at, name in enumerate(names)},
                      {arg.arg: value is not None for arg, value in zip(args.kwonlyargs, args.kw_defaults)},
                      args.vararg is not None or args.kwarg is not None)


def _of_fields(node: ast.ClassDef, maker: str) -> Parameters:
    found = Parameters({}, {})
    keyword_only = any(flag(decorator, "kw_only") for decorator in node.decorator_list)
    for name, field in annotated(node).items():
        if ast.unparse(field.annotation).rpartition(".")[2] == "KW_ONLY":
            keyword_only = True
            continue
        described = is_described(field.value)
        if described and flag(field.value, "init") is False:
            continue
        table = found.keyword if keyword_only or described and flag(field.value, "kw_only") else found.positional
        table[name.lstrip("_") if maker == "attrs" else name] = has_default(field.value)
    return found


def compatible(old: Parameters, new: Parameters) -> bool:
    """Whether the new constructor takes every call that the old one takes, with the same meaning."""
    if old.rest:
        return False
    before, after = list(old.positional), list(new.positional)
    if after[:len(before)] != before or any(old.positional[name] and not new.positional[name] for name in before):
        return False
    every = {**new.positional, **new.keyword}
    if any(name not in every or old.keyword[name] and not every[name] for name in old.keyword):
        return False
    return all(has for name, has in every.items() if name not in before and name not in old.keyword)


def written_constructor(node: ast.ClassDef) -> ast.FunctionDef | None:
    """The constructor that a dataclass makes, as a definition; None: the dataclass is not of the plain kind."""
    if not _is_plain(node):
        return None
    frozen = any(flag(decorator, "frozen") for decorator in node.decorator_list)
    names, defaults, body = ["self"], [], []
    for name, field in annotated(node).items():
        names.append(name)
        if field.value is not None:
            defaults.append(ast.unparse(field.value))
        body.append(f"    object.__setattr__(self, {name!r}, {name})" if frozen else f"    self.{name} = {name}")
    without = len(names) - len(defaults)
    parameters = names[:without] + [f"{name}={value}" for name, value in zip(names[without:], defaults)]
    if any(isinstance(statement, ast.FunctionDef) and statement.name == "__post_init__" for statement in node.body):
        body.append("    self.__post_init__()")
    made = ast.parse(f"def __init__({', '.join(parameters)}):\n" + "\n".join(body or ["    pass"])).body[0]
    assert isinstance(made, ast.FunctionDef)
    for inner in ast.walk(made):
        if isinstance(inner, (ast.stmt, ast.expr, ast.arg)):
            inner.lineno = inner.end_lineno = node.lineno
    return made


def _is_plain(node: ast.ClassDef) -> bool:
    """A dataclass without bases, all of whose fields are positional, and have constants for defaults if any."""
    if maker_of(node) != "dataclass" or any(ast.unparse(base) != "object" for base in node.bases):
        return False
    if any(flag(decorator, "kw_only") for decorator in node.decorator_list):
        return False
    fields = annotated(node).values()
    return all(isinstance(field.value, (ast.Constant, type(None))) for field in fields) and not any(
        word in ast.unparse(field.annotation) for field in fields for word in ("InitVar", "KW_ONLY"))
