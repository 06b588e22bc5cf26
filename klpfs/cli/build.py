"""build: a livepatch out of two versions of a package.

Exit codes: 0 written; 1 refused, or a source can't be read: nothing was written; 2 the command line was wrong; 3 no
Python code differs.
"""
from __future__ import annotations

import argparse
import sys

from klpfs.cli.ending import cleaned_up
from klpfs.cli.output import write_file
from klpfs.cli.terminal import printable, put
from klpfs.cli.tree import CommandError


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser) -> None:
    p = commands.add_parser("build", help="a livepatch out of two versions of a package")
    p.add_argument("old", metavar="OLD",
                   help="a folder, a file, an sdist, a wheel, or a requirement such as jinja2==3.1.5")
    p.add_argument("new", metavar="NEW", help="likewise")
    p.add_argument("-o", "--output", metavar="FIX.py", required=True, help="the livepatch to write")
    p.add_argument("--installed", action="store_true",
                   help="OLD is the name of a distribution: what --python has installed")
    p.add_argument("--python", metavar="PYTHON", action="append", default=[],
                   help="an interpreter that the patch is to fit (default: this one); may be given more than once")
    p.add_argument("--no-replace", action="store_true", help="the patch does not take the place of earlier ones")
    p.add_argument("--main", metavar="MODULE", help="this module is the service's main program (a script's stem)")
    p.add_argument("--allow", action="store_true",
                   help="leave out what is refused, with a stub to be filled in by hand")
    p.add_argument("--verify", action=argparse.BooleanOptionalAction, default=True,
                   help="import both versions in a sandbox, and refuse what the livepatch does not do as NEW does (on)")
    p.add_argument("--seed", metavar="FILE.py", action="append", default=[],
                   help="a script, or an expression (urllib3.Retry(3)), that makes objects as the program does: they "
                        "are compared, too; may be given more than once")
    p.add_argument("--optimize", metavar="LEVEL", type=int, action="append", choices=(0, 1, 2), default=[],
                   help="verify as programs are run without -O (0, the default), with -O (1), with -OO (2); may be "
                        "given more than once. The livepatch fits them all")
    p.set_defaults(do=build)


@cleaned_up()
def build(arguments: argparse.Namespace) -> int:
    from klpfs.builder.build import build_specs
    from klpfs.builder.error import BuildError, NothingToDo

    pythons = arguments.python or [sys.executable]
    try:
        result = build_specs(arguments.old, arguments.new, pythons, arguments.installed,
                             replace=not arguments.no_replace, allow=arguments.allow, main=arguments.main,
                             verify=arguments.verify, levels=list(dict.fromkeys(arguments.optimize or [0])),
                             seeds=arguments.seed)
    except NothingToDo as e:
        raise CommandError(str(e), 3) from None
    except BuildError as e:
        raise CommandError(str(e)) from None
    for refusal in result.refused:
        put(printable(f"klpfs build: {refusal.place}: {refusal.what}: {refusal.why}"), file=sys.stderr)
    for note in result.warned:
        put(printable(f"klpfs build: note: {note}"), file=sys.stderr)
    if not result.text:
        rest = "" if arguments.allow else " (--allow takes the rest)"
        raise CommandError(f"{len(result.refused)} change(s) refused, nothing written{rest}")
    printed = write_file(arguments.output, result.text)
    functions = sum(len(plan.funcs) for plan in result.plans)
    put(f"{arguments.output}: {functions} functions in {len(result.plans)} modules",
          file=sys.stderr if printed else sys.stdout)
    return 0
