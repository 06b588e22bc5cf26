"""klpfs/protocol/descriptors.py: no descriptor of klpfs's is a standard stream's."""
import os
import subprocess
import sys
import textwrap

import pytest

from klpfs.protocol import descriptors


def without(closed, code, *arguments, environ=None):
    """What a program has written into its `result` that is started without these descriptors."""
    text = f"import os, sys\nfor fd in {closed}: os.close(fd)\nos.execv(sys.argv[1], sys.argv[1:])"
    read, write = os.pipe()
    code = f"import os, sys\nfrom klpfs.protocol import descriptors\nresult = {write}\n{textwrap.dedent(code)}"
    environ = {"PYTHONPATH": ":".join(sys.path), **(environ or {})}
    done = subprocess.Popen([sys.executable, "-c", text, sys.executable, "-c", code, *arguments], pass_fds=[write],
                            env=environ)
    os.close(write)
    with open(read, "rb") as file:
        found = file.read().decode()
    assert done.wait(60) == 0, found
    return found


CLOSED = pytest.mark.parametrize("closed", [[0], [1, 2], [0, 1, 2]], ids=str)


@CLOSED
def test_files_and_pipes(closed):
    """And these numbers stay free, so that the program opens them as without klpfs."""
    assert without(closed, f"""
        fds = descriptors.open_above("/", os.O_RDONLY | os.O_CLOEXEC), *descriptors.pipe_above()
        free = [fd for fd in range(3) if not os.path.exists(f"/proc/self/fd/{{fd}}")]
        ok = min(fds) > 2 and free == {closed} and not any(map(os.get_inheritable, fds))
        ok = ok and not any(map(os.get_blocking, fds[1:]))
        os.write(result, repr(ok).encode())
    """) == "True"


def test_none_is_left(monkeypatch):
    """What was made is closed again."""
    def full(fd, command, first):
        raise OSError(24, "Too many open files")
    monkeypatch.setattr(descriptors, "fcntl", full)
    monkeypatch.setattr(descriptors, "FIRST", 1 << 20)
    before = os.listdir("/proc/self/fd")
    for make in (lambda: descriptors.open_above("/", os.O_RDONLY), descriptors.pipe_above):
        with pytest.raises(OSError, match="Too many"):
            make()
    assert os.listdir("/proc/self/fd") == before


@CLOSED
def test_an_agent(closed, tmp_path):
    """Its sockets and its pipe, a connection, a child's; here and in the child."""
    assert without(closed, f"""
        import klpfs.agent, socket
        agent = klpfs.agent.start("svc")
        peers = []

        def shows(fd):      # an import under way may have a file here, to read it
            try:
                return os.readlink(f"/proc/self/fd/{{fd}}").partition(":")[0]
            except FileNotFoundError:
                return "nothing"

        def right(agent):
            peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, descriptors.above_streams(
                socket.socket(socket.AF_UNIX).detach()))
            peer.connect(agent.folder + "/" + agent.server.name)
            assert peer.recv(4) and agent.server.connections
            peers.append(peer)
            return not any(shows(fd) in ("socket", "pipe", "anon_inode") for fd in {closed})

        ok = right(agent)
        child = os.fork()
        if not child:
            os._exit(not right(agent))
        os.write(result, repr((ok, os.waitpid(child, 0)[1], right(agent))).encode())
    """, environ={"KLPFS_RUNTIME_DIR": str(tmp_path)}) == "(True, 0, True)"
