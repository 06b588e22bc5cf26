"""The kernel's end of a mount, played by a test over a socket."""
import os
import socket
import struct

from klpfs.fs.fuse import Session
from klpfs.fs.nodes import Table
from klpfs.fs.tree import Tree
from klpfs.service.loop import Loop
from tests.fs.fake import FakeManager

# Numbers of include/uapi/linux/fuse.h, not the product's: a wrong number in fuse_messages.py is found.
LOOKUP, FORGET, GETATTR, SETATTR, READLINK, SYMLINK, MKNOD, MKDIR = 1, 2, 3, 4, 5, 6, 8, 9
UNLINK, RMDIR, RENAME, LINK, OPEN, READ, WRITE, STATFS, RELEASE = 10, 11, 12, 13, 14, 15, 16, 17, 18
FSYNC, SETXATTR, GETXATTR, LISTXATTR, REMOVEXATTR, FLUSH, INIT, OPENDIR = 20, 21, 22, 23, 24, 25, 26, 27
READDIR, RELEASEDIR, FSYNCDIR, CREATE, INTERRUPT, DESTROY, IOCTL, POLL = 28, 29, 30, 35, 36, 38, 39, 40
BATCH_FORGET, FALLOCATE, READDIRPLUS, RENAME2, LSEEK, COPY_FILE_RANGE, TMPFILE, STATX = 42, 43, 44, 45, 46, 47, 51, 52


class Kernel:
    """The end of the descriptor that the kernel has. call() gives (errno, body); notices are kept apart."""

    def __init__(self):
        self.loop = Loop()
        self.manager = FakeManager(self.loop)
        self.table = Table()
        Tree(self.table, self.manager)
        self.manager.start()
        self.shop = self.manager.services["shop"]
        self.end, fd = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.end.setblocking(False)
        self.fd = fd.detach()
        os.set_blocking(self.fd, False)
        self.said, self.ended, self.ready, self.notices, self.unique = [], [], [], [], 0
        self.replies = {}
        self.session = Session(self.fd, self.table, self.loop, lambda: self.ended.append(1),
                               lambda: self.ready.append(1), self.said.append)

    def send(self, op, node=1, body=b"", uid=0, gid=0, pid=7):
        self.unique += 2
        self.end.send(struct.pack("=IIQQIIIHH", 40 + len(body), op, self.unique, node, uid, gid, pid, 0, 0) + body)
        return self.unique

    def run(self, rounds=4):
        for _ in range(rounds):
            self.loop.run_once(0)
        self.take()

    def take(self):
        while True:
            try:
                message = self.end.recv(65536)
            except BlockingIOError:
                return
            length, error, unique = struct.unpack_from("=IiQ", message)
            assert length == len(message)
            if unique:
                assert unique not in self.replies, "answered twice"
                self.replies[unique] = (-error, message[16:])
            else:
                self.notices.append((error, message[16:]))

    def call(self, op, node=1, body=b"", **who):
        unique = self.send(op, node, body, **who)
        self.run()
        self.wait_for(lambda: unique in self.replies)
        return self.replies.pop(unique)

    def wait_for(self, condition):
        for _ in range(500):
            if condition():
                return
            self.loop.run_once(0.01)
            self.take()
        raise AssertionError("never")

    def errno(self, op, node=1, body=b"", **who):
        number, rest = self.call(op, node, body, **who)
        assert rest == b"" or not number
        return number

    def lookup(self, path):
        node = 1
        for name in path.split("/"):
            number, body = self.call(LOOKUP, node, os.fsencode(name) + b"\0")
            if number:
                raise OSError(number, path)
            node = struct.unpack_from("=Q", body)[0]
        return node

    def open(self, path, flags=os.O_RDONLY):
        node = self.lookup(path)
        number, body = self.call(OPEN, node, struct.pack("=II", flags, 0))
        if number:
            raise OSError(number, path)
        return node, struct.unpack_from("=Q", body)[0]

    def read_body(self, handle, offset=0, size=4096, flags=0):
        return struct.pack("=QQIIQII", handle, offset, size, 0, 0, flags, 0)

    def read(self, handle, node, offset=0, size=4096, flags=0):
        return self.call(READ, node, self.read_body(handle, offset, size, flags))

    def write_body(self, handle, data, offset=0):
        return struct.pack("=QQIIQII", handle, offset, len(data), 0, 0, 0, 0) + data

    def names(self, node, op=READDIR, size=4096):
        found, offset = [], 0
        while True:
            number, body = self.call(op, node, self.read_body(0, offset, size))
            assert number == 0 and len(body) <= size
            if not body:
                return found
            at = 0
            while at < len(body):
                if op == READDIRPLUS:
                    at += 128
                ino, offset, length, kind = struct.unpack_from("=QQII", body, at)
                name = body[at + 24:at + 24 + length].decode()
                found.append((name, ino, kind))
                at += 24 + (length + 7 & -8)
