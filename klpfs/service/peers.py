"""The peers of a service: the sockets in its folder, and which of them are of processes that live.

A socket is that of a peer (peer.py), of a process that is dead, of somebody who was refused, or it is left alone: a
user who does not own the service may have MOST sockets in its folder.
"""
from __future__ import annotations

import builtins
import os
import socket
from collections import Counter
from typing import Callable

from attrs import define, field

from klpfs.protocol import life
from klpfs.protocol.folder import Folder, as_folder, socket_address
from klpfs.protocol.folder_layout import SUFFIX
from klpfs.service.foreign_users import ForeignUsers
from klpfs.service.loop import Loop
from klpfs.service.peer import NOBODY, Message, Peer

MOST = 256                 # sockets of a user who does not own the service: each costs a descriptor here


@define(eq=False)
class Peers:
    """The agents whose sockets are in `folder`. received(peer, kind, message), left(peer), dropped(peer) (its
    connection closed), changed() (after any of these: the coordinator's step), log(text, priority)."""

    folder: Folder = field(converter=as_folder)
    loop: Loop
    received: Callable[[Peer, str, Message], None]
    on_left: Callable[[Peer], None]
    dropped: Callable[[Peer], None]
    changed: Callable[[], None]
    log: Callable[[str, int], None]
    _peers: dict[str, Peer] = field(init=False, factory=dict)
    # by the name of a dead process's socket: whether it was tried to unlink it
    _dead: dict[str, bool] = field(init=False, factory=dict)
    # sockets of whoever is no process of this service, by name: the inode
    refused: dict[str, tuple[int, int]] = field(init=False, factory=dict)
    _foreign: dict[str, int] = field(init=False, factory=dict)   # sockets of users who don't own the service: the user
    _left_alone: dict[str, int] = field(init=False, factory=dict)       # the same, of those that are too many
    _named_users: set[int] = field(init=False, factory=set)    # whose many sockets the log has named
    _restarted: dict[str, Peer] = field(init=False, factory=dict)
    users: ForeignUsers = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.users = ForeignUsers(self.loop.now, self.log)

    def restarted(self, peer: Peer) -> None:
        """A peer has begun a connection, or was seen for the first time: it was told nothing yet."""
        self._restarted[peer.key] = peer

    def take_restarted(self) -> builtins.list[Peer]:
        """The peers that have `restarted` since the last call, and are not gone."""
        taken, self._restarted = self._restarted, {}
        return [peer for key, peer in taken.items() if self._peers.get(key) is peer]

    def known(self) -> builtins.list[Peer]:
        """The peers that are not gone, as far as is known."""
        return list(self._peers.values())

    def list(self) -> builtins.list[Peer]:
        """Look in the folder anew: connect to the processes that are new. OSError: it can't be looked into just now."""
        try:
            names = self.folder.names()
        except FileNotFoundError:
            names = []
        sockets = {name for name in names if name.endswith(SUFFIX) and not name.startswith(".")}
        self._dead = {name: tried for name, tried in self._dead.items() if name in sockets}
        self.refused = {name: inode for name, inode in self.refused.items()
                        if name in sockets and self._inode(name) == inode}
        self._foreign = {key: uid for key, uid in self._foreign.items() if key in self._peers or key in self.refused}
        counts = Counter(self._foreign.values())
        self._left_alone = {name: uid for name, uid in self._left_alone.items()
                            if name in sockets and counts[uid] >= MOST}
        known = self._peers.keys() | self._dead.keys() | self.refused.keys() | self._left_alone.keys()
        for name in sorted(sockets - known):
            if self._is_peer(name):
                peer = self._peers[name] = Peer(name, self)
                self.restarted(peer)
                peer.connect()
        for peer in self.known():              # unlinked: it ended well, or bound a new socket
            if peer.key not in sockets and not peer.connected:
                peer.leave()
        return self.known()

    def _inode(self, name: str) -> tuple[int, int] | None:
        """Which file the name is of; None: it can't be seen."""
        try:
            status = self.folder.look_status(name)
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def _answers(self, name: str) -> bool:
        """Whether somebody listens on a socket that was refused, or it can't be seen."""
        try:
            path_fd = self.folder.look_socket(name)
            try:
                with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as sock:
                    sock.connect(socket_address(path_fd))
            finally:
                os.close(path_fd)
        except OSError as error:
            return error.errno not in NOBODY
        return True

    def has_said(self, peer: Peer) -> bool:
        """Whether the process that is noted beside a peer's socket has said on another socket who it is."""
        pid = life.pid_of(self.folder, peer.key)
        return any(other.pid == pid for other in self.known() if other is not peer and pid)

    def lives_unseen(self) -> bool:
        """Whether a process of the service lives that no socket speaks for, or it can't be seen just now. Its patches
        are in force, and the journal is its journal."""
        try:
            return life.anybody(self.folder, self.folder.names())
        except FileNotFoundError:
            return False
        except OSError:
            return True

    def refuse(self, peer: Peer, inode: tuple[int, int]) -> None:
        """Leave a peer's socket, of this inode, alone: it is of no process of this service."""
        self.refused[peer.key] = inode

    def forget_refused(self) -> bool:
        """Look which of the sockets that were refused are of the dead by now: those are litter as any other. True: some
        are not."""
        for name in list(self.refused):
            if not self._answers(name):
                del self.refused[name]
                self._dead[name] = False
        return bool(self.refused)

    def _is_peer(self, name: str) -> bool:
        """Whether the name is a socket's, and not of a user who has put very many into the folder."""
        try:
            path_fd = self.folder.look_socket(name)
            try:
                status = os.fstat(path_fd)
            finally:
                os.close(path_fd)
            ours = self.folder.owns(status.st_uid)
        except OSError:
            return False
        inode = status.st_dev, status.st_ino
        if status.st_nlink > 1 and any(peer.inode == inode for peer in self.known()):
            return False                       # another name of a socket that is connected to
        if ours:
            return True
        if list(self._foreign.values()).count(status.st_uid) >= MOST:
            if status.st_uid not in self._named_users:
                self._named_users.add(status.st_uid)
                self.log(
                    f"klpfs: user {status.st_uid} has more than {MOST} sockets in {self.folder.path}, "
                    "the others are left alone",
                    4,
                )
            self._left_alone[name] = status.st_uid
            return False
        self._foreign[name] = status.st_uid
        return True

    def left(self, peer: Peer) -> None:
        """A peer is gone: its socket is of no use to anybody."""
        self._peers.pop(peer.key, None)
        if peer.key not in self.refused:
            self._dead[peer.key] = False
        self.on_left(peer)

    @property
    def dead(self) -> builtins.list[str]:
        """Names of sockets of the dead, that are perhaps still there."""
        return list(self._dead)

    @property
    def litter(self) -> bool:
        """Whether a process has died whose socket was not tried to be removed."""
        return not all(self._dead.values())

    def unlink_gone(self) -> None:
        """Remove the sockets of the dead. The journal's lock must be taken."""
        self.forget_refused()
        for name in self._dead:
            self._dead[name] = True
            life.forget(self.folder, name)

    def cut(self, n: int) -> None:
        """The journal can't be written: close the connections, so that the processes that have prepared n read it."""
        for peer in self.known():
            report = peer.report
            if report and (report["n"] == n or report["prepared"] and report["prepared"]["n"] == n):
                peer.drop()

    def close(self) -> None:
        """Close all connections; nobody is told anything."""
        for peer in self.known():
            peer.release()
        self._peers.clear()
