"""The text of `check`: what a livepatch would do to a service if it were loaded now, for people.

Lines, each indented by one more blank: a process; what runs it and where it imports from, an object; a function; what
is to be said of the function; frames of tasks that are inside. The last line says 'would be loaded', 'would be refused:
...', or 'could not tell: ...' where a process did not look at it to the end (a busy one's dry run is cut off), or none
has answered, and none refuses it.
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional

from klpfs.service.shown_text import shown_bytes

RUN_BY, IMPORTS_FROM = "run by: ", "imports from: "
LOADED, UNKNOWN = "would be loaded", "could not tell"

Row = tuple[int, str, Optional[dict[str, Any]]]      # process id, its command, its answer (None: it gave none)


def check_text(name: str, replaces: Sequence[str], why_not: str, answers: Sequence[Row],
               agentless: Sequence[str] = ()) -> bytes:
    """name: the module's. replaces: the patches in force. why_not: why the service would refuse it whatever is in it,
    or ''.
    answers: of the processes (shapes.CHECKED). agentless: lines on processes that have no agent (agentless.py)."""
    surveys = [answer["found"] for _, _, answer in answers if answer is not None and answer["found"]]
    lines = [f"livepatch {name}"]
    if surveys and surveys[0]["replace"]:
        lines[0] += f" replaces {' '.join(replaces)}" if replaces else " (replace; nothing is there)"
    refused, unknown = why_not, ""
    shown: dict[str, int] = {}
    for pid, command, answer in answers:
        head = f"process {pid} {command}".rstrip()
        if answer is None:
            lines.append(f"{head}: does not answer; it would be patched when it does")
            continue
        if answer["errno"] and answer.get("unknown"):
            lines.append(f"{head}: {UNKNOWN}: {answer['text']}")
            unknown = unknown or answer["text"]
            continue
        if answer["errno"]:
            lines.append(f"{head}: refused: {answer['text']}")
            refused = refused or answer["text"]
            continue
        survey = answer["found"]
        body = _survey(survey)
        text = "\n".join(body)
        if text in shown:
            lines.append(f"{head}: as process {shown[text]}")
        else:
            shown[text] = pid
            lines += [head, *body]
        refused = refused or survey["refused"] or next(
            (func["refused"] for obj in survey["objects"] for func in obj["funcs"] if func["refused"]), "")
    if not answers:
        lines.append("no process")
    lines += agentless
    if refused:
        lines.append(f"would be refused: {refused}")
    elif unknown or not surveys:
        lines.append(f"{UNKNOWN}: {unknown or 'no process has looked at it'}")
    else:
        lines.append(LOADED)
    return shown_bytes("".join(f"{_printable(line)}\n" for line in lines))


def _survey(survey: dict[str, Any]) -> list[str]:
    lines = []
    python = survey.get("python")
    if python:
        lines += [f" {RUN_BY}{python['executable']} {python['level']}".rstrip(),
                  f" {IMPORTS_FROM}{':'.join(python['path'])}"]
    if survey["refused"]:
        lines.append(f" refused: {survey['refused']}")
    for obj in survey["objects"]:
        if not obj["loaded"]:
            lines.append(f" {obj['name']}: not loaded; {len(obj['funcs'])} functions would be patched when it comes")
            continue
        lines.append(f" {obj['name']}")
        for func in obj["funcs"]:
            lines += _func(func)
    return lines


def _func(func: dict[str, Any]) -> list[str]:
    if func["refused"]:
        return [f"  {func['name']}: refused: {func['refused']}"]
    if func["fingerprint"] == "not there":
        return [f"  {func['name']}: not there, it is left out"]
    count = "not made yet" if not func["count"] else "" if func["count"] == 1 else f"{func['count']} function objects"
    said = [func["where"], count, f"fingerprint {func['fingerprint']}"]
    lines = [f"  {func['name']}: {', '.join(word for word in said if word)}"]
    lines += [f"   warning: {warning}" for warning in func["warnings"]]
    for kind, task, name, frames in func["inside"]:
        lines.append(f"   inside: {kind} {task if task else '-'} {name}")
        lines += [f"    {frame}" for frame in frames]
    return lines


def _printable(line: str) -> str:
    return "".join(c if c.isprintable() or "\ud800" <= c <= "\udfff" else "?" for c in line)
