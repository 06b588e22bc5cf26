"""Command lines as glibc's getopt_long takes them, with its words."""
import pytest

from klpfs.cli.standin import options

KNOWN = {"all": options.NONE, "alias": options.NONE, "field": options.ONE, "color": options.MAYBE}
SHORT = {"a": "all", "F": "field", "L": "color"}


@pytest.mark.parametrize("words, found, rest", [
    (["-a", "x", "--all"], [("all", None), ("all", None)], ["x"]),
    (["-aF", "f", "x"], [("all", None), ("field", "f")], ["x"]),
    (["-Ff"], [("field", "f")], []),
    (["--field", "f", "--fie=g"], [("field", "f"), ("field", "g")], []),
    (["-L", "x"], [("color", None)], ["x"]),
    (["-Lnever", "--color=auto"], [("color", "never"), ("color", "auto")], []),
    (["-a", "--", "-a", "-"], [("all", None)], ["-a", "-"]),
])
def test_options_as_getopt_takes_them(words, found, rest):
    assert options.parse(words, KNOWN, SHORT) == (found, rest)


def test_options_end_at_the_first_other_word_where_that_is_asked_for(monkeypatch):
    assert options.parse(["-a", "x", "-a"], KNOWN, SHORT, in_order=True) == ([("all", None)], ["x", "-a"])
    monkeypatch.setenv("POSIXLY_CORRECT", "1")
    assert options.parse(["x", "-a"], KNOWN, SHORT) == ([], ["x", "-a"])


@pytest.mark.parametrize("words, text", [
    (["-x"], "invalid option -- 'x'"), (["--xyz=1"], "unrecognized option '--xyz'"),
    (["-F"], "option requires an argument -- 'F'"), (["--field"], "option '--field' requires an argument"),
    (["--all=1"], "option '--all' doesn't allow an argument"),
    (["--al"], "option '--al' is ambiguous; possibilities: '--all' '--alias'"),
])
def test_what_getopt_says_of_a_wrong_one(words, text):
    with pytest.raises(options.Wrong) as e:
        options.parse(words, KNOWN, SHORT)
    assert str(e.value) == text
