"""The services of a runtime folder, and their processes, as they come and go.

One inotify descriptor (inotify-simple) watches the runtime folder and each service's: a new socket, a journal renamed
into its place. A service is shown from when a process of it has said who it is (or is there and silent) to when the
last has gone.
"""
from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from collections.abc import Iterator
from typing import Callable

from attrs import define, field
from inotify_simple import INotify, flags

from klpfs.protocol.folder import Folder, mount_of
from klpfs.protocol.folder_layout import JOURNAL, SUFFIX, check_way, is_private
from klpfs.protocol.names import is_service
from klpfs.service.loop import FIRST, Loop
from klpfs.service.mountinfo import is_local
from klpfs.service.service import LOOK_AGAIN, Service

WATCH = flags.CREATE | flags.MOVED_TO | flags.DELETE | flags.MOVED_FROM | flags.ONLYDIR
SILENT = 0.5               # seconds after which a service is shown whose processes are there and say nothing
SHORT = (errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.ENOMEM)        # what may be there again in a while
STALE = 10.0               # seconds: an older folder in which nobody lives is removed


@contextlib.contextmanager
def _named(what: str) -> Iterator[None]:
    """OSErrors of a call of the kernel's get a text that says which call this was."""
    try:
        yield
    except OSError as error:
        code = error.errno or errno.EIO
        raise OSError(code, f"{what}, can't be used here: {os.strerror(code)}") from error


@define(eq=False)
class Place:
    """A folder of the runtime folder, with its service."""

    service: Service
    watch: int
    inode: tuple[int, int]
    shown: bool = False
    lived: bool = False
    waits: bool = False                        # it is looked at again in a while: see _end


@define(eq=False)
class Manager:
    """`services`: those with a live process, by name. `start()` looks once and watches; `close()` ends it. log(text):
    takes a line for whoever runs the daemon, about services that are not shown."""

    loop: Loop
    runtime_dir: str
    log: Callable[[str], None] = lambda text: None
    services: dict[str, Service] = field(init=False, factory=dict)
    _added: list[Callable[[Service], None]] = field(init=False, factory=list)
    _removed: list[Callable[[Service], None]] = field(init=False, factory=list)
    _inotify: INotify | None = field(init=False, default=None)
    _root: int = field(init=False, default=-1)
    _mount: int | None = field(init=False, default=None)       # that the runtime folder is on
    _places: dict[str, Place] = field(init=False, factory=dict)
    _by_watch: dict[int, str] = field(init=False, factory=dict)
    # names of services that could not be taken up -> whether a timer runs, after which they are looked for again
    _later: dict[str, bool] = field(init=False, factory=dict)

    def on_added(self, callback: Callable[[Service], None]) -> None:
        """Call `callback(service)` for each service that comes."""
        self._added.append(callback)

    def on_removed(self, callback: Callable[[Service], None]) -> None:
        """Call `callback(service)` for each service that has gone."""
        self._removed.append(callback)

    def start(self) -> None:
        """Find what is there, connect to it, and watch. Makes the runtime folder (0700) when there is none. OSError:
        EACCES when strangers can write to it, or exchange it; as mkdir(2), pidfd_open(2), inotify_init(2) and
        inotify_add_watch(2), which a container may refuse."""
        os.makedirs(self.runtime_dir, 0o700, exist_ok=True)
        status = os.stat(self.runtime_dir)
        if status.st_mode & stat.S_IWOTH or os.geteuid() and status.st_uid not in (0, os.geteuid()):
            raise OSError(errno.EACCES, "strangers can write to the runtime folder", self.runtime_dir)
        check_way(os.path.abspath(self.runtime_dir))
        with _named("pidfd_open(2), by which processes are watched"):
            os.close(os.pidfd_open(os.getpid()))
        with _named("inotify(7), by which services are found"):
            self._inotify = INotify(nonblocking=True)
            self._root = self._inotify.add_watch(self.runtime_dir, WATCH)
        self.loop.add(self._inotify.fileno(), self._notified, FIRST)
        self._look()

    def settle(self, seconds: float = 2.0) -> None:
        """Run the loop until every process found has told what it has, `seconds` at most."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.loop.run_once(0.0)
            waits = [peer for place in self._places.values() for peer in place.service.peers.known()
                     if peer.report is None]
            if not waits:
                return
            self.loop.run_once(0.02)

    def close(self) -> None:
        """Let go of all: nothing is told to the processes, they run on."""
        for place in self._places.values():
            place.service.close()
            place.service.folder.release()
        self._places.clear()
        self.services.clear()
        if self._inotify is not None:
            self.loop.remove(self._inotify.fileno())
            self._inotify.close()
            self._inotify = None

    # -- folders

    def _notified(self, events: int) -> None:
        assert self._inotify is not None
        looks: set[str] = set()                              # services whose folder is to be looked into
        journals: set[str] = set()                           # those whose journal is another
        met: set[str] = set()                                # those in whose folder a socket came or went
        for event in self._inotify.read(timeout=0):
            if event.mask & flags.Q_OVERFLOW:
                self._look()
                looks.update(self._places)
            elif event.wd == self._root:
                if event.mask & flags.IGNORED:
                    self._root = -1
                elif event.mask & flags.ISDIR:
                    self._entry(event.name)
            elif event.wd in self._by_watch:
                if event.mask & flags.IGNORED:               # the folder is gone; perhaps there is a new one already
                    name = self._by_watch[event.wd]
                    self._forget(name)
                    self._entry(name)
                elif event.name.endswith(SUFFIX) and not event.name.startswith("."):
                    met.add(self._by_watch[event.wd])
                elif event.name == JOURNAL:                  # other files tell nothing, and anybody may make very many
                    journals.add(self._by_watch[event.wd])
        looks |= met
        for name in looks | journals:
            place = self._places.get(name)
            if place is not None:
                if name in looks:
                    place.service.look()
                else:                                        # who has to decide something lists the sockets anew
                    place.service.poke()
                self._check(name)
                if name in met:                              # a process may have come and gone before we have looked
                    self._end_if_empty(name, place)

    def _look(self) -> None:
        for name in sorted(os.listdir(self.runtime_dir)):
            self._entry(name)

    def _entry(self, name: str, ended: bool = False) -> None:
        """A folder is there, or is gone. ended: its service has just been ended here; what is left of it stays."""
        path = os.path.join(self.runtime_dir, name)
        if not is_service(name):
            return
        try:
            path_fd = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:                             # gone again, or no descriptors
            self._look_for_later(name, error)
            return
        try:
            found = self._come(name, path, path_fd)
        except OSError as error:                             # not for us, or no descriptors
            self._look_for_later(name, error)
            return
        finally:
            os.close(path_fd)
        self._later.pop(name, None)
        if found is None:
            return
        watch, status, folder = found
        service = Service(name, self.loop, folder, on_gone=lambda: self.loop.call_soon(lambda: self._check(name)))
        self._places[name] = place = Place(service, watch, (status.st_dev, status.st_ino))
        self._by_watch[watch] = name
        service.on_change(lambda kind, key: self._changed(name, kind))
        service.start()
        if not service.peers.known() and not ended:
            place.lived = bool(service.peers.dead) or time.time() - status.st_mtime > STALE
            if not place.lived:
                self.loop.call_later(STALE, lambda: self._end_if_empty(name, place))
        self._check(name)

    def _look_for_later(self, name: str, error: OSError) -> None:
        """A service could not be taken up: it is looked for again, if this is for want of something."""
        def again() -> None:
            if name in self._later and self._inotify is not None:
                self._later[name] = False
                self._entry(name)
        if error.errno not in SHORT:
            self._later.pop(name, None)
            return
        if name not in self._later:
            what = "inotify watches are used up" if error.errno == errno.ENOSPC else error.strerror
            self.log(f"klpfs: service '{name}' is not shown: {what}; it is looked for again")
        if not self._later.get(name):
            self._later[name] = True
            self.loop.call_later(LOOK_AGAIN, again)

    def _come(self, name: str, path: str, path_fd: int) -> tuple[int, os.stat_result, Folder] | None:
        """The watch, the status and the folder, held open, of a service's folder that was looked at; None: it is known,
        or not such that what lies in it is obeyed. What a user has mounted there is not asked anything: that user may
        never answer."""
        if self._mount is None:
            runtime = os.open(self.runtime_dir, os.O_PATH | os.O_CLOEXEC)
            try:
                self._mount = mount_of(runtime)
            finally:
                os.close(runtime)
        mount = mount_of(path_fd)
        if mount != self._mount and not is_local(mount):
            return None
        status = os.fstat(path_fd)
        if name in self._places:
            if self._places[name].inode == (status.st_dev, status.st_ino):
                return None
            self._forget(name)                               # somebody has removed it, and its processes made it anew
        if not is_private(status.st_mode) or os.geteuid() not in (0, status.st_uid):
            return None
        folder = Folder(path)
        folder.hold(path_fd)
        try:
            assert self._inotify is not None
            return self._inotify.add_watch(f"/proc/self/fd/{path_fd}", WATCH), status, folder
        except BaseException:
            folder.release()
            raise

    def _changed(self, name: str, kind: str) -> None:
        if kind == "process" and name in self._places and not self._places[name].shown:
            self.loop.call_soon(lambda: self._check(name))

    def _end_if_empty(self, name: str, place: Place) -> None:
        """End a service whose folder no process lives in, after the time that a first process has to come."""
        if self._places.get(name) is place and not place.service.peers.known():
            place.lived = True
            self._check(name)

    def _look_again(self, name: str, place: Place) -> None:
        place.waits = False
        self._end_if_empty(name, place)

    def _check(self, name: str) -> None:
        """Show the service, or take it away, as its processes are."""
        place = self._places.get(name)
        if place is None:
            return
        service, peers = place.service, place.service.peers.known()
        if service.processes:
            self._show(name, place)
        elif peers:
            if not place.lived:
                place.lived = True
                self.loop.call_later(SILENT, lambda: self._show_silent(name))
        elif place.lived:
            self._end(name, place)

    def _show_silent(self, name: str) -> None:
        place = self._places.get(name)
        if place is not None and any(peer.connected for peer in place.service.peers.known()):
            self._show(name, place)

    def _show(self, name: str, place: Place) -> None:
        if not place.shown:
            place.shown = place.lived = True
            self.services[name] = place.service
            for callback in self._added:
                callback(place.service)

    def _end(self, name: str, place: Place) -> None:
        """The last process is gone: the folder too, unless it is kept. Who comes later makes it anew."""
        try:
            refused = place.service.peers.forget_refused() or place.service.peers.lives_unseen()
        except OSError:                                      # no descriptors to look at them
            refused = True
        if refused:                                          # not ours to remove, and not to be asked again
            if not place.waits:
                place.waits = True
                self.loop.call_later(STALE, lambda: self._look_again(name, place))
            return self._hide(name, place)
        place.service.close()
        place.service.remove()
        self._forget(name)
        self._entry(name, ended=True)                        # it is kept, or somebody has just come

    def _forget(self, name: str) -> None:
        place = self._places.pop(name, None)
        if place is None:
            return
        self._by_watch.pop(place.watch, None)
        try:
            if self._inotify is not None:
                self._inotify.rm_watch(place.watch)
        except OSError:
            pass
        place.service.close()
        place.service.folder.release()
        self._hide(name, place)

    def _hide(self, name: str, place: Place) -> None:
        """Show the service no more. Counterpart: _show."""
        if place.shown:
            place.shown = False
            del self.services[name]
            for callback in self._removed:
                callback(place.service)
