"""The proof of a livepatch: what is wrong is named by its path, what is right is not accused."""
import sys

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from klpfs.builder.build import build
from klpfs.builder.verify import sandbox
from klpfs.builder.verify import verify as module
from klpfs.builder.verify.verify import NoProof, Verifier
from tests import strategies

KEPT = "import functools\nK = []\nclass Meta(type):\n    def __init__(cls, *a):\n        super().__init__(*a)\n" \
       "        K.append(cls)\nclass Setting(metaclass=Meta):\n    name, default = 'base', 0\n" \
       "class Config:\n    def __init__(self): self.s = {c.name: c.default for c in K}\n"
REGISTER = "R = {}\ndef reg(n):\n    def d(f):\n        R[n] = f.__name__\n        return f\n    return d\n"


def proof_of(releases, old, new):
    old, new = releases.pair(old, new)
    result = build(old, new, [sys.executable])
    assert result.text, result.refused
    return verify(result, old, new)


def verify(result, old, new):
    with Verifier(result.plans, old, new, sys.executable) as verifier:
        return verifier.proof(result.text)


@pytest.mark.parametrize("old, new, path", [
    ("class K: pass\nA, B = K(), K()\nR = {A: 1, B: 2}\n", "class K: pass\nA, B = K(), K()\nR = {B: 2, A: 1}\n",
     "m:R[m.K(builtins.dict())]"),
    ("class C:\n    L = 1\n    def __init__(self): self.l = self.L\nD = C()\n",
     "class C:\n    L = 2\n    def __init__(self): self.l = self.L\nD = C()\n", "m:D.l"),
    (KEPT + "cfg = Config()\n",
     KEPT + "class Strict(Setting):\n    name, default = 'strict', True\ncfg = Config()\n", "m:cfg.s['strict']"),
    (REGISTER + "@reg('y')\ndef y(): pass\n", REGISTER + "@reg('x')\ndef y(): pass\n", "m:R['y']"),
], ids=["order", "instance", "copied registry", "registry"])
def test_what_is_wrong_is_named(releases, old, new, path):
    proof = proof_of(releases, old, new)
    assert path in [each.what for each in proof.refused], proof


@pytest.mark.parametrize("old, new, words", [
    ("import enum\nclass E(enum.IntEnum):\n    A = 1\n", "import enum\nclass E(enum.IntEnum):\n    A = 2\n", "_apply"),
], ids=["a number that is a member"])
def test_what_no_process_takes_is_refused(releases, old, new, words):
    refused = proof_of(releases, old, new).refused
    assert [each.what for each in refused] == ["the livepatch"] and words in refused[0].why


@pytest.mark.parametrize("new, path", [
    ("import abc, os\nclass A(abc.ABC): pass\nA.register(int)\n", ""),       # it is taken back
    ("import abc, os\nclass A(abc.ABC): pass\nos.environ['KLPX'] = '1'\n", "posix:environ[b'KLPX']"),
], ids=["abc", "environ"])
def test_what_is_not_taken_back_is_told(releases, new, path):
    proof = proof_of(releases, "import abc, os\nclass A(abc.ABC): pass\n", new)
    told = [each for each in proof.warned if "is not taken back" in each]
    assert not proof.refused and (any(path in each for each in told) if path else not told), proof


def test_random_pairs_that_are_right_are_not_accused(releases):
    """All modules of one package: `tests/strategies.py` makes what the builder carries."""
    pairs = []

    @settings(max_examples=60, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck),
              deadline=None, derandomize=True)
    @given(strategies.module_pairs())
    def gather(pair):
        pairs.append(pair)
    gather()
    texts = {(each.old_source, each.new_source) for each in pairs if each.old_source != each.new_source}
    old, new = ({"p/__init__.py": "", **{f"p/m{n}.py": text[at] for n, text in enumerate(sorted(texts))}}
                for at in (0, 1))
    proof = proof_of(releases, old, new)
    assert len(texts) > 30 and (proof.refused, proof.warned) == ([], [])


def test_a_docstring_a_cast_and_a_moved_line_are_no_difference(releases):
    old = "from typing import cast\ndef f(x):\n    return cast(int, x)\ndef g(): return 1\n"
    new = "from typing import cast\n\ndef f(x):\n    'said'\n    return cast('int', x)\ndef g(): return 2\n"
    proof = proof_of(releases, old, new)
    assert (proof.refused, proof.warned) == ([], [])


MACHINE = "import os, socket, time\nclass C:\n" \
          "    def __init__(self): self.home, self.zone, self.user, self.host = {}\nc = C()\n"
ITS = "os.path.expanduser('~'), time.tzname, os.environ.get('USER'), socket.gethostname()"


def test_values_of_the_machine_are_no_difference(releases):
    """Whatever the machine is that builds; what a release makes otherwise of it is one."""
    old = MACHINE.format(ITS) + "def f(): return 1\n"
    proof = proof_of(releases, old, old.replace("1\n", "2\n"))
    assert (proof.refused, proof.carried, proof.warned) == ([], [], [])
    proof = proof_of(releases, old, MACHINE.format(ITS.replace("'~'", "'~/x'")) + "def f(): return 2\n")
    assert ([each.what for each in proof.refused], proof.carried) == (["m:c.home"], [])


CHANCE = "import os, secrets, uuid\nR = {uuid.uuid4(): 1, secrets.token_hex(8): 2}\nS = {secrets.token_hex(4)}\n" \
         "def made(): return secrets.token_hex(8)\nclass C:\n    def __init__(self): self.t = made()\nc = C()\n"


def test_keys_and_values_of_chance_are_listed_by_their_paths(releases):
    proof = proof_of(releases, CHANCE + "def f(): return 1\n", CHANCE + "def f(): return 2\n")
    assert (proof.refused, proof.carried, proof.warned) == ([], [], [])
    listed, = (each for each in proof.notes if "values of the moment or chance" in each)
    assert "m:c.t" in listed and "m:R[" in listed and "m:S[" in listed
    proof = proof_of(releases, CHANCE, CHANCE.replace("return secrets.token_hex(8)", "return secrets.token_hex(16)"))
    assert ([each.what for each in proof.refused], proof.carried) == (["m:c.t"], [])


FORKS = "import os\nN = []\ndef hook(): N.append(1)\n" \
        "os.register_at_fork(before=hook, after_in_child=hook, after_in_parent=hook)\n"


def test_hooks_of_a_package_that_run_when_it_forks_accuse_nobody(releases):
    new = FORKS + "class C:\n    def __init__(self): self.k = []\n    def f(self): return self.k\nc = C()\n"
    old = FORKS + "class C:\n    def f(self): return 1\nc = C()\n"
    proof = proof_of(releases, old, new)
    assert (proof.refused, proof.warned) == ([], [])


@pytest.mark.parametrize("ends, words", [
    ("sys.exit(3)", "SystemExit: 3"), ("raise KeyError('x')", "KeyError: 'x'"),
])
def test_a_top_level_that_ends_is_said_of_new(releases, ends, words):
    proof = proof_of(releases, "import sys\ndef f(): return 1\n", f"import sys\ndef f(): return 2\n{ends}\n")
    assert [each.what for each in proof.refused] == ["the livepatch"] and words in proof.refused[0].why
    assert any("can't import NEW's m" in each and words in each for each in proof.warned)


def test_a_top_level_that_ends_the_process_is_said_of_the_livepatch(releases):
    with pytest.raises(NoProof, match="ended while the livepatch was put into OLD"):
        proof_of(releases, "import os\ndef f(): return 1\n", "import os\ndef f(): return 2\nos._exit(3)\n")


def test_what_nobody_can_see_into_is_named_where_it_may_be_otherwise(releases):
    text = "import zlib\ndef made(): return zlib.compressobj({})\nC = made()\nD = zlib.compressobj()\n"
    proof = proof_of(releases, text.format(1), text.format(2))
    assert [each for each in proof.warned if "compared" in each] == [
        "m:C can't be compared: what is in instance zlib.Compress nobody can see"]


LONG = "x" * 150


@pytest.mark.parametrize("old, new, words", [
    ([LONG + "a"], [LONG + "b"], "xa'"), ([LONG + "a" + LONG], [LONG + "b" + LONG], "xax"),
])
def test_texts_are_shown_where_they_differ(old, new, words):
    said = module._words(module.Difference("m:x", "value", repr(old[0]), repr(new[0])))
    assert words in said and words.replace("a", "b") in said and len(said) < 260


def test_a_path_that_nobody_could_read_is_cut_and_never_carried(releases):
    deep = "def made():\n    t = {{'a': None}}\n    for _ in range(3000): t = {{'a': t}}\n    return t\n" \
           "def end(): return {}\nD = made()\nx = D\nwhile x['a']: x = x['a']\nx['a'] = end()\ndel x\n"
    proof = proof_of(releases, deep.format(1), deep.format(2))
    assert len(proof.refused) == 1 and proof.refused[0].what.startswith("m:D['a']['a']") and proof.carried == []
    assert len(proof.refused[0].what) < 500 and "is 1; should be 2" in proof.refused[0].why


def test_values_of_the_machine_are_never_carried(releases):
    """What this machine says of itself is wrong on another."""
    proof = proof_of(releases, MACHINE.format("None, None, None, None"), MACHINE.format(ITS))
    assert {each.what for each in proof.refused} >= {"m:c.home", "m:c.user"} and proof.carried == []


def test_what_cannot_be_imported_is_named(releases):
    old = {"p/__init__.py": "def f(): return 1\n", "p/extra.py": "import klp_none\ndef g(): return 1\n"}
    new = {"p/__init__.py": "def f(): return 2\n", "p/extra.py": "import klp_none\ndef g(): return 2\n"}
    proof = proof_of(releases, old, new)
    assert not proof.refused and len(proof.warned) == 1
    assert "not verified" in proof.warned[0] and "p.extra" in proof.warned[0] and "klp_none" in proof.warned[0]


@pytest.mark.parametrize("dies", [
    "import os\nos._exit(3)\n", "import os\nos.abort()\n", "import time\ntime.sleep(1000)\n",
], ids=["exit", "abort", "sleeps"])
def test_a_release_that_can_not_be_imported_at_all(releases, monkeypatch, dies):
    monkeypatch.setattr(module, "_WALL_SECONDS", 5)
    old, new = releases.pair(dies + "def f(): return 1\n", "def f(): return 2\n")
    result = build(old, new, [sys.executable], allow=True)
    with pytest.raises(NoProof, match="ended while OLD was imported"):
        verify(result, old, new)


def test_a_process_that_the_package_starts_holds_up_nobody(releases):
    starts = "import os, time\nif not os.fork():\n    time.sleep(1000)\n    os._exit(0)\n"
    proof = proof_of(releases, starts + "def f(): return 1\n", starts + "def f(): return 2\n")
    assert proof.refused == []


def test_a_package_cannot_print_into_the_proof(releases):
    prints = "import os\nprint('x' * 1000)\nos.write(1, b'y' * 1000)\n"
    proof = proof_of(releases, prints + "def f(): return 1\n", prints + "def f(): return 2\n")
    assert proof.refused == []


def test_without_a_sandbox_it_goes_on_and_says_so(releases, monkeypatch):
    monkeypatch.setattr(sandbox, "why_not", lambda: "unshare is not here")
    proof = proof_of(releases, "def f(): return 1\n", "def f(): return 2\n")
    assert proof.refused == [] and "verified without a sandbox: unshare is not here" in proof.warned


def test_what_the_process_is_called_with_is_no_difference(releases):
    proof = proof_of(releases, "import sys\ndef f(argv=sys.argv): return 1\nN = sys.argv[0]\n",
                     "import sys\ndef f(argv=sys.argv): return 2\nN = sys.argv[0]\n")
    assert (proof.refused, proof.warned) == ([], [])


def test_a_lambda_of_a_new_module_and_loggers_of_others_are_no_difference(releases):
    old = {"p/__init__.py": "import logging\nlog = logging.getLogger('p')\ndef f(): return 1\n"}
    new = {"p/__init__.py": "import logging\nfrom p.fresh import h\nlog = logging.getLogger('p')\n"
           "logging.getLogger('klp_elsewhere.log')\ndef f(): return 2\n", "p/fresh.py": "h = lambda: 1\n"}
    proof = proof_of(releases, old, new)
    assert proof.refused == []


def test_an_attribute_of_another_form_has_another_name_in_new_code(releases):
    """h11 0.16.0."""
    text = "class C:\n    def __init__(self):\n        self._left = {}\n    def more(self):\n        if self._left:\n" \
           "            self._left = {}\n        return self._left\nD = C()\n"
    old, new = releases.pair(text.format(0, 2), text.format("b''", "b'\\r\\n'"))
    result = build(old, new, [sys.executable], verify=True)
    assert result.refused == [] and "klp_left" in result.text


def test_super_in_a_function_that_had_none_is_no_difference(releases):
    """sqlparse 0.5.0."""
    proof = proof_of(releases, "class A(tuple):\n    def f(self): return 1\n",
                     "class A(tuple):\n    def f(self): return super().__len__()\n")
    assert proof.refused == []


def test_a_release_finds_its_metadata(releases):
    text = "import importlib.metadata\nV = importlib.metadata.version('klp-named')\ndef f(): return {}\n"
    old, new = releases.pair(text.format(1), text.format(2))
    old.label, new.label = "klp-named==1.0", "klp-named==1.1"
    result = build(old, new, [sys.executable], verify=True)
    assert (result.refused, result.warned) == ([], ["carried: m:V becomes '1.1'"]), result


def test_a_function_with_super_is_read_all_the_same(releases):
    old, new = releases.pair("class A(tuple):\n    def f(self): return 1\n",
                             "class A(tuple):\n    def f(self):\n        return super().__len__() + 5\n")
    result = build(old, new, [sys.executable])
    result.text = result.text.replace("+ 5", "+ 6")
    assert [each.what for each in verify(result, old, new).refused] == ["m:A.f!code"]


@pytest.mark.parametrize("old, new, path", [
    ("D.l = D.k = []", "D.l, D.k = [], []", "m:D.k"), ("D.l = 10 ** 12", "D.l = 2 * 10 ** 12", "m:D.l"),
    ("D.l = ssl.CERT_NONE", "D.l = ssl.CERT_REQUIRED", "m:D.l"),
], ids=["shared list", "large number", "another package's object"])
def test_what_was_once_overlooked(releases, old, new, path):
    text = "import ssl\nclass C:\n    def __init__(D): {}\nD = C()\n"
    proof = proof_of(releases, text.format(old), text.format(new))
    assert path in [each.what for each in proof.refused], proof


MADE = """
import os
class Meta(type):
    def __new__(meta, name, bases, space):
        return type.__new__(meta, name, bases, {**space, "desc": space["desc"].strip()})
class C(metaclass=Meta):
    desc = "  NUMBER  "
"""


@pytest.mark.parametrize("function, is_carried", [
    ("def f(): return os.getpid(), NUMBER\n", True), ("def f(): return os.getpid(), NUMBER\nf()\n", False)])
def test_code_that_reads_the_machine_counts_if_it_runs_at_import(releases, function, is_carried):
    text = MADE + function
    old, new = releases.pair(text.replace("NUMBER", "1"), text.replace("NUMBER", "2"))
    result = build(old, new, [sys.executable], verify=True)
    assert ("('C.desc', '  2  ', '2')" in result.text) == is_carried
    assert [each.what for each in result.refused] == ([] if is_carried else ["m:C.desc"])


def test_a_default_that_the_livepatch_gives_a_class_is_listed(releases):
    """click 8.1.8."""
    text = "class C:\n    def __init__(self):\n        pass\n{}    def f(self): return {}\nD = C()\n"
    proof = proof_of(releases, text.format("", "1"), text.format("        self.kept = None\n", "self.kept"))
    assert proof.refused == [] and any("C.kept" in each for each in proof.notes)
