"""The five steps of the builder know only those before them."""
import ast
import pathlib

import klpfs.builder

FOLDER = pathlib.Path(klpfs.builder.__file__).parent
STEPS = ("error", "syntax", "read", "compare", "plan", "write", "verify", "build", "against")


def test_a_step_imports_nothing_of_a_later_one():
    wrong = []
    for path in FOLDER.rglob("*.py"):
        step = path.relative_to(FOLDER).parts[0].partition(".")[0]
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("klpfs.builder"):
                names = [node.module.split(".")[2]] if node.module.count(".") > 1 else [each.name
                                                                                        for each in node.names]
                wrong += [f"{path.name}: {name}" for name in names if STEPS.index(name) > STEPS.index(step)]
    assert wrong == []
