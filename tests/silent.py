"""A FUSE file system whose user answers nothing: whoever asks it waits. What a stranger may mount in a folder."""
import ctypes
import os

import pytest

STRANGER = 54321            # a user whom nobody here is


class Silent:
    """A FUSE file system that answers nothing, mounted on a path: whoever asks it waits, until it is closed."""

    def __init__(self, path, mode):
        self.path, self.fd = str(path), os.open("/dev/fuse", os.O_RDWR)
        options = f"fd={self.fd},rootmode={mode:o},user_id={STRANGER},group_id={STRANGER},allow_other"
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mount(b"silent", self.path.encode(), b"fuse", 0, options.encode()):
            code = ctypes.get_errno()
            os.close(self.fd)
            self.fd = -1
            pytest.skip(f"nothing can be mounted here: {os.strerror(code)}")

    def close(self):
        if self.fd >= 0:
            os.close(self.fd)       # all that wait get ENOTCONN
            self.fd = -1
        ctypes.CDLL(None).umount2(self.path.encode(), 2)
