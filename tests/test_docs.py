"""What code and pages say of files, sections and anchors is there: no reference dangles.

References are written `docs/PROTOCOL.md#5` in code (a section's number, or an anchor's name), `PROTOCOL.md#5` between
the pages of docs/.
"""

import ast
import io
import re
import subprocess
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"] + [
    f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))
]
FOLDERS = ("klpfs", "tests", "bench", "demo", "scripts", "mount_scripts", "docs", ".ci")
PAGE = re.compile(r"(?<![\w/.-])((?:docs/)?[A-Z][\w.-]*\.md)(?:#([\w-]+))?((?: and #[\w-]+)*)")
SECTION = re.compile(r"\b[A-Z]{4,}(?:-[a-z0-9.]+)?(?:\.md)?(?:'s)?,? sections? \d")
PATH = re.compile(rf"(?<![\w/.-])((?:{'|'.join(map(re.escape, FOLDERS))})/[\w./*{{}},-]*[\w*}}/])")
NAME = re.compile(r"(?<![\w/.<>*{}-])([a-z_][a-z_0-9]*\.py)\b")
# Names of files of others: examples, and programs that users have.
EXAMPLES = {
    "x.py",
    "m.py",
    "app.py",
    "shop.py",
    "a.py",
    "b.py",
    "setup.py",
    "conftest.py",
    "fix.py",
    "old.py",
    "new.py",
}


def tracked():
    """The repository's files. A checkout without git has them all the same."""
    try:
        told = subprocess.run(
            ["git", "-C", ROOT, "ls-files", "--cached", "--others", "--exclude-standard", *FOLDERS],
            capture_output=True,
            text=True,
            check=True,
        )
        return [name for name in told.stdout.splitlines() if (ROOT / name).is_file()]
    except (OSError, subprocess.CalledProcessError):
        return [
            str(path.relative_to(ROOT))
            for folder in FOLDERS
            for path in (ROOT / folder).rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        ]


FILES = tracked()
CODE = [name for name in FILES if name.endswith(".py") and name != "tests/test_docs.py"]
BASENAMES = {Path(name).name for name in FILES}


def remarks(text):
    """The comments and docstrings of a Python file: [(line, text)]."""
    found = [
        (token.start[0], token.string)
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type == tokenize.COMMENT
    ]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                found.append((first.lineno, first.value.value))
    return found


def anchors(page):
    """What may follow # after a page's name: the numbers of its sections, and the anchors that it has."""
    text = (ROOT / page).read_text()
    return set(re.findall(r"^## (?:<a id=\"[^\"]*\"></a>)?(\d+)\. ", text, re.M)) | set(
        re.findall(r"<a id=\"([^\"]+)\"></a>", text)
    )


def dangling(text, folder=""):
    """The references in `text` that lead nowhere. folder: where pages that are named without one lie."""
    bad = []
    for page, anchor, more in PAGE.findall(text):
        where = page if page.startswith("docs/") else folder + page
        if folder and not (ROOT / where).is_file() and "/" not in page:
            where = page  # from docs/ to a page beside README.md
        if not (ROOT / where).is_file():
            bad.append(page)
        else:
            bad += [
                f"{page}#{each}"
                for each in [anchor, *re.findall(r"#([\w-]+)", more)]
                if each and each not in anchors(where)
            ]
    bad += SECTION.findall(text)
    for path in PATH.findall(text):
        path = re.sub(r"\.[A-Z]\w*$", ".py", path.rstrip("/"))  # tests/harness.Program
        if "{" not in path and not path.endswith(".md") and not any(ROOT.glob(path)):
            bad.append(path)
    return bad


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_names_is_there(page):
    """Pages, sections, files and folders; a file's name without its folder is that of one of the repository's files."""
    text = (ROOT / page).read_text()
    folder = "docs/" if page.startswith("docs/") else ""
    assert dangling(text, folder) == []
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        assert target.startswith("https://") or (ROOT / folder / target).exists(), target
    named = (
        {name for span in re.findall(r"`([^`\n]+)`", text) for name in NAME.findall(span)}
        if page.startswith("docs/")
        else set()
    )
    assert sorted(named - BASENAMES - EXAMPLES) == []


@pytest.mark.parametrize("folder", sorted({name.rpartition("/")[0] for name in CODE}))
def test_what_comments_name_is_there(folder):
    """In klpfs also the names of files without their folder: a file that was renamed is not cited by its old name."""
    bad = []
    for name in [name for name in CODE if name.rpartition("/")[0] == folder]:
        for line, text in remarks((ROOT / name).read_text()):
            found = dangling(text)
            if name.startswith("klpfs/"):
                found += sorted(set(NAME.findall(text)) - BASENAMES - EXAMPLES)
            bad += [f"{name}:{line}: {each}" for each in found]
    assert bad == []


def test_the_files_of_the_drawings_are_there():
    """HACKING.md's code blocks name files below klpfs/, in full or, indented under one of them, by their last part."""
    blocks = "".join(re.findall(r"^```$(.*?)^```$", (ROOT / "docs/HACKING.md").read_text(), re.M | re.S))
    named = set(re.findall(r"(?<![\w/])(?:\w+/)*\w+\.py\b", blocks))
    assert len(named) > 30
    assert sorted(name for name in named if not (ROOT / "klpfs" / name).is_file() and name not in BASENAMES) == []


@pytest.mark.parametrize("page", [page for page in PAGES if page != "CHANGELOG.md"])
def test_what_a_page_says_to_be_in_a_file_is_in_it(page):
    """`klpfs/protocol/decisions.py`: force, _other."""
    missing = []
    for name, words in re.findall(
        r"`((?:klpfs|tests)/[\w/]+\.py)`: ((?:`?\w+`?(?:, (?=`?[\w]+`?(?:[,;.)|]| \|)))?)+)", (ROOT / page).read_text()
    ):
        text = (ROOT / name).read_text() if (ROOT / name).is_file() else ""
        missing += [
            f"{name}: {word}"
            for word in re.findall(r"\w+", words)
            if not re.search(rf"^\s*(def|class|async def) {word}\b|^\s*{word}\b.*=", text, re.M)
        ]
    assert missing == []


@pytest.mark.parametrize("page", PAGES)
def test_the_targets_of_make_that_a_page_names_are_there(page):
    """In code spans and blocks."""
    makefile = (ROOT / "Makefile").read_text()
    text = (ROOT / page).read_text()
    named = set(re.findall(r"`make ([a-z]+)", text)) | set(re.findall(r"^    (?:\w+=\S+ )?make ([a-z]+)", text, re.M))
    assert sorted(name for name in named if not re.search(rf"^{name}:", makefile, re.M)) == []


def test_who_can_do_what_to_whom_is_tested():
    """Each line of the table in docs/SECURITY.md names a test, and each of these tests has its line."""
    table = (ROOT / "docs/SECURITY.md").read_text().partition("## <a id=\"3\"></a>")[2].partition("\n## ")[0]
    lines = [line for line in table.splitlines() if line.startswith("| ")][1:]
    named = [re.findall(r"`(test_\w+)`", line) for line in lines]
    tests = [node.name for path in (ROOT / "tests/integration/security").glob("test_*.py")
             for node in ast.parse(path.read_text()).body
             if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]
    assert len(lines) > 15 and all(named)
    assert sorted(sum(named, [])) == sorted(tests)


def test_every_page_is_reached_from_the_readme():
    """Nobody has to know of a page to find it."""
    seen, todo = set(), ["README.md"]
    while todo:
        page = todo.pop()
        seen.add(page)
        folder = "docs/" if page.startswith("docs/") else ""
        for name, _, _ in PAGE.findall((ROOT / page).read_text()):
            for each in (name, folder + name):
                if each in PAGES and each not in seen:
                    todo.append(each)
    assert sorted(set(PAGES) - seen) == []


@pytest.mark.parametrize(
    "text, bad",
    [
        ("see docs/PROTOCOL.md#5", []),
        ("docs/PROTOCOL.md#2 and #3", []),
        ("docs/PROTOCOL.md#2 and #33", ["docs/PROTOCOL.md#33"]),
        ("docs/PROTOCOL.md#99", ["docs/PROTOCOL.md#99"]),
        ("docs/NONE.md", ["docs/NONE.md"]),
        ("PROTOCOL.md", ["PROTOCOL.md"]),
        ("PROTOCOL section 5", ["PROTOCOL section 5"]),
        ("klpfs/engine/core.py", []),
        ("klpfs/engine/kern.py", ["klpfs/engine/kern.py"]),
        ("tests/cpython/", []),
        ("kernel/livepatch/core.c", []),
        ("klpfs/engine/*.py", []),
    ],
)
def test_a_reference_that_dangles_is_noticed(text, bad):
    assert dangling(text) == bad
