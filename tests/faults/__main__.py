"""Faults at every step of every operation: python -m tests.faults [--only TEXT ...] [--jobs N] [--list]

    operations  insmod of a livepatch, of one that replaces, of an ordinary module; disable, reverse, force; rmmod
    steps       before and after each write of the journal, when one process of three has been told; while code of the livepatch
                runs (its top level, init, callbacks, exit); while a task is in the way; when all is done
    victims     the first, some and the last process of the service; the daemon, alone or with another beside it; the disk
    faults      SIGKILL; SIGSTOP and later SIGCONT; not one descriptor more (RLIMIT_NOFILE); no space left

Afterwards all processes run all old or all new code, the tree says which, no file, dispatcher or operation is half
done, the callbacks are paired, the log has no unexpected line, and the next operation works. Prints each case that
fails, and the count.
"""
import argparse
import collections
import multiprocessing
import sys

from tests.faults.cases import all_cases, line
from tests.faults.one_world import one_world


def run_all(cases, jobs):
    """Yields (case, error text) as they end. Cases of one service are in one World, as long as none fails."""
    results = multiprocessing.Queue()
    parts = [part for daemons in (1, 2)
             for part in split([case for case in cases if (case[2] == "daemon of two") == (daemons == 2)], daemons,
                               jobs)]
    running = 0
    while parts or running:
        while parts and running < jobs:
            daemons, part = parts.pop(0)
            multiprocessing.Process(target=one_world, args=(daemons, part, results)).start()
            running += 1
        found = results.get()
        if found is None:
            running -= 1
        else:
            yield found


def split(cases, daemons, jobs):
    return [(daemons, cases[at::jobs]) for at in range(jobs) if cases[at::jobs]]


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--only", nargs="*", default=(), help="cases whose line has all these texts")
    arguments.add_argument("--jobs", type=int, default=2)
    arguments.add_argument("--list", action="store_true")
    given = arguments.parse_args()
    cases = [case for case in all_cases() if all(text in line(case) for text in given.only)]
    if given.list:
        print("\n".join(map(line, cases)))
        return 0
    good, bad = collections.Counter(), []
    for done, (case, error) in enumerate(run_all(cases, given.jobs), 1):
        good[case[0]] += not error
        if not done % 100:
            print(f"{done} of {len(cases)} ...", flush=True)
        if error:
            bad.append(case)
            print(f"FAILED: {line(case)}\n    {error}", flush=True)
    for operation in dict.fromkeys(case[0] for case in cases):
        print(f"{operation:8} {good[operation]:4} of {sum(case[0] == operation for case in cases)} cases")
    print(
        f"{len(cases) - len(bad)} of {len(cases)} cases: all old or all new, the tree is right, the next operation works"
    )
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
