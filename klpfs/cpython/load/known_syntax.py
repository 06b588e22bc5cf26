"""Syntax that klpfs knows: every class of ast's nodes, with its fields.

What is written anew here (name_rewriter.py) and what is compared (klpfs/builder) goes by the kinds of nodes. A kind or
a field that a later CPython has and this table has not could be passed over in silence; so it is refused by name
wherever it is used. Nothing is looked for on a CPython whose classes are all known: no tree can have such a node there.
"""
from __future__ import annotations

import ast

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

# CPython 3.9 to 3.15; a field with a question mark may be None
_KNOWN = """
AST; Add; And; AnnAssign target annotation value? simple; Assert test msg?; Assign targets value type_comment?;
AsyncFor target iter body orelse type_comment?;
AsyncFunctionDef name args body decorator_list returns? type_comment? type_params;
AsyncWith items body type_comment?; Attribute value attr ctx; AugAssign target op value; AugLoad; AugStore;
Await value; BinOp left op right; BitAnd; BitOr; BitXor; BoolOp op values; Break; Bytes s; Call func args keywords;
ClassDef name bases keywords body decorator_list type_params; Compare left ops comparators; Constant value kind?;
Continue; Del; Delete targets; Dict keys values; DictComp key value? generators; Div; Ellipsis; Eq;
ExceptHandler type? name? body; Expr value; Expression body; ExtSlice; FloorDiv;
For target iter body orelse type_comment?; FormattedValue value conversion format_spec?;
FunctionDef name args body decorator_list returns? type_comment? type_params; FunctionType argtypes returns;
GeneratorExp elt generators; Global names; Gt; GtE; If test body orelse; IfExp test body orelse;
Import names is_lazy?; ImportFrom module? names level? is_lazy?; In; Index; Interactive body;
Interpolation value str conversion format_spec?; Invert; Is; IsNot; JoinedStr values; LShift; Lambda args body;
List elts ctx; ListComp elt generators; Load; Lt; LtE; MatMult; Match subject cases; MatchAs pattern? name?;
MatchClass cls patterns kwd_attrs kwd_patterns; MatchMapping keys patterns rest?; MatchOr patterns;
MatchSequence patterns; MatchSingleton value; MatchStar name?; MatchValue value; Mod; Module body type_ignores;
Mult; Name id ctx; NameConstant value kind; NamedExpr target value; Nonlocal names; Not; NotEq; NotIn; Num n; Or;
Param; ParamSpec name default_value?; Pass; Pow; RShift; Raise exc? cause?; Return value?; Set elts;
SetComp elt generators; Slice lower? upper? step?; Starred value ctx; Store; Str s; Sub; Subscript value slice ctx;
Suite; TemplateStr values; Try body handlers orelse finalbody; TryStar body handlers orelse finalbody;
Tuple elts ctx; TypeAlias name type_params value; TypeIgnore lineno tag; TypeVar name bound? default_value?;
TypeVarTuple name default_value?; UAdd; USub; UnaryOp op operand; While test body orelse;
With items body type_comment?; Yield value?; YieldFrom value; alias name asname?; arg arg annotation? type_comment?;
arguments posonlyargs args vararg? kwonlyargs kw_defaults kwarg? defaults; boolop; cmpop;
comprehension target iter ifs is_async; excepthandler; expr; expr_context; keyword arg? value;
match_case pattern guard? body; mod; operator; pattern; slice; stmt; type_ignore; type_param; unaryop;
withitem context_expr optional_vars?;
"""


def _parsed(text: str) -> dict[str, dict[str, bool]]:
    """{class: {field: whether it may be None}}"""
    rows = [row.split() for row in text.split(";") if row.strip()]
    return {name: {field.rstrip("?"): field.endswith("?") for field in fields} for name, *fields in rows}


def _not_known(classes: Mapping[str, Any]) -> dict[type, list[str]]:
    """{class: its fields that are not known} of the nodes' classes among some that are not known, or have such fields,
    or fields that may be None and could not before."""
    known = _parsed(_KNOWN)
    found = {}
    for cls in classes.values():
        if not isinstance(cls, type) or not issubclass(cls, ast.AST) or cls.__name__.startswith("_"):
            continue
        fields = known.get(cls.__name__)
        types = getattr(cls, "_field_types", {})    # from 3.13 on
        new = [field for field in cls._fields if fields is None or field not in fields or not fields[field]
               and str(types.get(field)).endswith("| None")]
        if new or fields is None:
            found[cls] = new
    return found


UNKNOWN = _not_known(vars(ast))


def unknown_in(tree: ast.AST) -> tuple[int, str] | None:
    """(line, what is unknown) of the first piece of syntax in a tree that klpfs does not know; None: there is none."""
    if not UNKNOWN:
        return None
    line = 1
    for node in ast.walk(tree):
        line = getattr(node, "lineno", line)
        if type(node) not in UNKNOWN:
            continue
        fields = UNKNOWN[type(node)]
        if type(node).__name__ not in _parsed(_KNOWN):
            return line, f"klpfs does not know the syntax {type(node).__name__}"
        for field in fields:
            if _says_something(node, field):
                return line, f"klpfs does not know the syntax {type(node).__name__}.{field}"
    return None


def _says_something(node: ast.AST, field: str) -> bool:
    """Whether a field that is not known is set; of a field that may be None now, whether it is."""
    value = getattr(node, field, None)
    return value is None if field in _parsed(_KNOWN)[type(node).__name__] else bool(value)
