"""What `make cpython` runs: CPython's tests, and beside each the standard modules that livepatches are made of.

A module that an interpreter does not have is passed over; so is a test.
"""
from __future__ import annotations

from attrs import frozen

ASYNCIO = ("asyncio.base_events", "asyncio.base_futures", "asyncio.base_subprocess", "asyncio.base_tasks",
           "asyncio.coroutines", "asyncio.events", "asyncio.futures", "asyncio.graph", "asyncio.locks",
           "asyncio.protocols", "asyncio.queues", "asyncio.runners", "asyncio.selector_events", "asyncio.sslproto",
           "asyncio.staggered", "asyncio.streams", "asyncio.subprocess", "asyncio.taskgroups", "asyncio.tasks",
           "asyncio.threads", "asyncio.timeouts", "asyncio.tools", "asyncio.transports", "asyncio.trsock",
           "asyncio.unix_events", "concurrent.futures._base", "concurrent.futures.thread", "selectors")
# modules of test_asyncio that take seconds: each is a row; all others are one row
LONG = ("test_base_events", "test_eager_task_factory", "test_events", "test_selector_events", "test_sendfile",
        "test_ssl", "test_sslproto", "test_streams", "test_subprocess", "test_taskgroups", "test_tasks",
        "test_unix_events")
WINDOWS = ("test_proactor_events", "test_windows_events", "test_windows_utils")     # all of it is skipped on Linux


@frozen
class Row:
    """One line of the table: a name, the tests as `python -m test` takes them, the modules that are patched."""

    name: str
    tests: tuple[str, ...]
    patched: tuple[str, ...]


SINGLE = {
    "test_threading": ("threading", "weakref", "_weakrefset", "queue", "contextlib"),
    "test_coroutines": ("types", "inspect", "contextlib", "asyncio.events", "asyncio.base_events", "asyncio.runners",
                        "copy", "warnings", "unittest.case"),
    "test_generators": ("inspect", "contextlib", "doctest", "weakref", "copy", "unittest.case"),
    "test_annotationlib": ("annotationlib", "typing", "functools", "enum", "ast", "collections", "unittest.case"),
    "test_type_annotations": ("annotationlib", "typing", "functools", "types", "textwrap", "unittest.case"),
    "test_lazy_import": ("importlib", "importlib.util", "types", "subprocess", "textwrap", "tempfile", "contextlib"),
    "test_interpreters": ("concurrent.interpreters", "concurrent.interpreters._queues",
                          "concurrent.interpreters._crossinterp", "threading", "pickle", "contextlib", "textwrap",
                          "queue"),
}


def rows(available: list[str]) -> list[Row]:
    """The rows of an interpreter that has these tests, as `python -m test --list-tests` names them (older CPythons
    do not take test_asyncio apart: there it is one row)."""
    asyncio = [name for name in available if name.startswith("test_asyncio.")]
    modules = {name: name.partition(".")[2] for name in asyncio}
    rest = tuple(name for name in asyncio if modules[name] not in (*LONG, *WINDOWS))
    found = [Row(name, (name,), patched) for name, patched in SINGLE.items()
             if any(each == name or each.startswith(f"{name}.") for each in available)]
    found += [Row(name, (name,), ASYNCIO) for name in asyncio if modules[name] in LONG]
    if "test_asyncio" in available:
        found.append(Row("test_asyncio", ("test_asyncio",), ASYNCIO))
    if rest:
        found.append(Row(f"test_asyncio ({len(rest)} others)", rest, ASYNCIO))
    return found
