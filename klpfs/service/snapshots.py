"""Snapshots of a service, as the tree shows it: replaced as a whole when something changed, never altered."""
from __future__ import annotations

from attrs import field, frozen


@frozen
class Caller:
    """The writer: process (or thread) id as this daemon sees it, 0 when it can't; user and group."""

    pid: int
    uid: int
    gid: int


@frozen
class ObjectView:
    """An object of a patch: `patched` when a process has it patched and none has it loaded unpatched."""

    name: str
    patched: bool
    funcs: tuple[tuple[str, int], ...]         # name and position (1 for position 0), in the patch's order


@frozen
class PatchView:
    """A patch's directory. `enabled`, `transition`, `replace` and its being there come from the journal."""

    name: str
    enabled: bool
    transition: bool
    replace: bool
    stack_order: int                           # 1: the oldest
    objects: tuple[ObjectView, ...] = ()


@frozen
class ParamView:
    """A parameter: type 'bool', 'int', 'str', ...; its value as shown, without a newline; permission bits."""

    type: str
    text: str
    mode: int


@frozen
class ModuleView:
    """A loaded module: `state` as in /proc/modules ('Live', 'Loading', 'Unloading'); holders: the modules that
    use it."""

    name: str
    size: int = 0
    refcnt: int = 0
    state: str = "Live"
    livepatch: bool = False
    forced: bool = False
    holders: tuple[str, ...] = ()
    params: dict[str, ParamView] = field(factory=dict)


@frozen
class ProcessView:
    """A process of the service that has said who it is."""

    pid: int
    comm: str
    cmdline: tuple[str, ...]


@frozen
class BlockerView:
    """A reason why something is pending. kind: 'thread' 'task' 'greenlet' 'generator' 'collection' 'frozen heap'
    'working', of process `pid`; 'process': it does not answer, or not what is in its way; 'journal' (pid 0): it
    can't be written. task: thread or other id, or None; frames: 'file:line function', innermost first; since:
    CLOCK_MONOTONIC microseconds; patch: the patch in transition."""

    pid: int
    kind: str
    task: int | None
    name: str
    frames: tuple[str, ...] = ()
    since: int = 0
    patch: str = ""
