"""What `check` answers, from what the processes say."""
from klpfs.protocol.shapes import CHECKED
from klpfs.service.check_text import check_text


def func(name="f,1", **more):
    return dict({"name": name, "refused": "", "warnings": [], "where": "/a/m.py:3", "count": 1,
                 "fingerprint": "matches", "inside": []}, **more)


def answer(*funcs, replace=False, loaded=True, **more):
    found = {"livepatch": True, "replace": replace, "refused": "",
             "objects": [{"name": "m", "loaded": loaded, "funcs": list(funcs)}]}
    return dict({"errno": 0, "text": "", "found": found}, **more)


def text(*told, replaces=(), why_not=""):
    assert all(one is None or CHECKED(one) for _, _, one in told)
    return check_text("fix", replaces, why_not, told).decode().splitlines()


def test_a_function_where_it_is_and_who_is_inside():
    inside = [["thread", 7, "worker-1", ["/a/m.py:4 f"]], ["generator", 0, "g", ["/a/m.py:9 g"]]]
    assert text((12, "python app.py",
                 answer(func(inside=inside), func("g,1", count=3, warnings=["takes other parameters"],
                                                  fingerprint="not given")))) == [
        "livepatch fix", "process 12 python app.py", " m", "  f,1: /a/m.py:3, fingerprint matches",
        "   inside: thread 7 worker-1", "    /a/m.py:4 f", "   inside: generator - g", "    /a/m.py:9 g",
        "  g,1: /a/m.py:3, 3 function objects, fingerprint not given", "   warning: takes other parameters",
        "would be loaded"]


def test_an_optional_function_that_is_not_there():
    assert text((12, "a", answer(func(fingerprint="not there", where="",
                                      count=0))))[-2:] == ["  f,1: not there, it is left out", "would be loaded"]


def test_processes_that_say_the_same_are_told_once():
    assert text((12, "a", answer(func())), (13, "a", answer(func()))) == [
        "livepatch fix", "process 12 a", " m", "  f,1: /a/m.py:3, fingerprint matches", "process 13 a: as process 12",
        "would be loaded"]


def test_one_refusal_anywhere_is_a_refusal():
    lines = text((12, "a", answer(func())), (13, "b", answer(func(refused="symbol 'f' not found in symbol table"))))
    assert lines[-2:] == ["  f,1: refused: symbol 'f' not found in symbol table",
                          "would be refused: symbol 'f' not found in symbol table"]


def test_a_file_that_no_process_can_load():
    assert text((12, "a", {"errno": 8, "text": "fix: /a/fix.py:3: invalid syntax", "found": None}))[1:] == [
        "process 12 a: refused: fix: /a/fix.py:3: invalid syntax", "would be refused: fix: /a/fix.py:3: invalid syntax"]


def test_what_runs_a_process():
    found = answer(func())
    found["found"]["python"] = {"executable": "/v/bin/python", "level": "-O", "path": ["/app", "/v/lib"]}
    assert text((12, "a", found))[1:4] == ["process 12 a", " run by: /v/bin/python -O", " imports from: /app:/v/lib"]


def test_a_look_that_was_cut_off_says_nothing():
    """The machine is busy, or a module is being loaded: no verdict, where no other process refuses."""
    cut = {"errno": 4, "text": "checking 'fix' was stopped at /a/fix.py:3", "found": None, "unknown": True}
    assert text((12, "a", cut), (13, "b", answer(func())))[1:] == [
        "process 12 a: could not tell: checking 'fix' was stopped at /a/fix.py:3", "process 13 b", " m",
        "  f,1: /a/m.py:3, fingerprint matches", "could not tell: checking 'fix' was stopped at /a/fix.py:3"]
    assert text((12, "a", cut), (13, "b", answer(func(refused="gone"))))[-1] == "would be refused: gone"
    assert text((12, "a", {**cut, "unknown": False}))[-1].startswith("would be refused: checking")


def test_silence_is_said_and_is_no_refusal():
    silent = "process 12 a: does not answer; it would be patched when it does"
    assert text((12, "a", None))[1:] == [silent, "could not tell: no process has looked at it"]
    assert text((12, "a", None), (13, "b", answer(func())))[-1] == "would be loaded"
    assert text()[-1] == "could not tell: no process has looked at it"


def test_what_it_replaces_and_what_is_not_there_yet():
    assert text((12, "a", answer(func(), replace=True, loaded=False)), replaces=["old", "older"]) == [
        "livepatch fix replaces old older", "process 12 a",
        " m: not loaded; 1 functions would be patched when it comes", "would be loaded"]


def test_the_service_itself_may_refuse():
    assert text((12, "a", answer(func())), why_not="already loaded")[-1] == "would be refused: already loaded"


def test_control_characters_stay_out():
    assert "\x1b" not in "\n".join(text((12, "a\x1b[31m", answer(func(refused="\x1bx")))))


def test_a_name_that_has_no_bytes():
    """A lone surrogate in what a process says is shown; an exception would leave the reader without an answer."""
    answer = {"errno": 22, "text": "no function t\ud800", "found": None}
    assert check_text("lp", [], "", [(1, "prog", answer)]).endswith(b"would be refused: no function t\\ud800\n")
