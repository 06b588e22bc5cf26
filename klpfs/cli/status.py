"""status and blockers: what a service runs with, who of it is not reached, and who keeps its transition from
completing."""
from __future__ import annotations

import argparse
import sys

from klpfs.cli.terminal import printable, put
from klpfs.cli.tree import CommandError, Patch, find


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser) -> None:
    for name, do, text in (("status", status, "processes and patches of a service"),
                           ("blockers", blockers, "who keeps a transition pending")):
        p = commands.add_parser(name, parents=[common], help=text)
        p.add_argument("--json", action="store_true")
        p.set_defaults(do=do)


def state(patch: Patch) -> str:
    """A patch's state in a word."""
    if patch.transition:
        return "patching" if patch.enabled else "unpatching"
    return "enabled" if patch.enabled else "disabled"


def status(arguments: argparse.Namespace) -> int:
    from klpfs.protocol.folder_layout import runtime_dir
    from klpfs.service import agentless

    try:
        tree = find(arguments.service, arguments.mount)
    except CommandError:                # perhaps none of its processes has an agent
        for each in agentless.find(runtime_dir(), (), arguments.service):
            put(printable(f"service {each.service}: {each.text}"), file=sys.stderr)
        raise
    patches, processes = tree.patches(), tree.processes()
    without = agentless.find(runtime_dir(), {pid for pid, _ in processes}, tree.name)
    waiting = tree.blockers()      # also without a transition: who refuses writes, why the journal can't be written
    if arguments.json:
        import json

        put(json.dumps({
            "service": tree.name,
            "processes": [{"pid": pid, "cmdline": command} for pid, command in processes],
            "patches": [{"name": p.name, "state": state(p), "enabled": p.enabled, "transition": p.transition,
                         "replace": p.replace, "objects": [{"name": name, "patched": patched, "functions": functions}
                                     for name, (patched, functions) in p.objects.items()]} for p in patches],
            "blockers": waiting,
            "agentless": [{"pid": each.pid, "cmdline": each.command, "why": each.why} for each in without],
        }))
        return 0
    put(f"service {tree.name}")
    for pid, command in processes:
        put(f"process {pid} {printable(command)}")
    for each in without:
        put(printable(each.text))
    for patch in patches:
        put(f"patch {printable(patch.name)} {state(patch)}{' replace' if patch.replace else ''}")
        for name, (patched, functions) in patch.objects.items():
            shown = printable(" ".join(functions)) or "callbacks only"
            put(f"  {printable(name)} {'patched' if patched else 'not patched'}: {shown}")
    for line in waiting:
        put(f"  {line.strip()}" if line[:1].isspace() else f"blocked by {line}")  # its frames are below it
    return 0


def blockers(arguments: argparse.Namespace) -> int:
    tree = find(arguments.service, arguments.mount)
    lines = tree.blockers()
    if arguments.json:
        import json

        put(json.dumps(lines))
        return 0
    for line in lines:
        put(line)
    return 0
