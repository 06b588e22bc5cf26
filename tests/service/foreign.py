"""Foreign agents: fake agents whose messages come from another user, as the kernel would say."""
from klpfs.service.peer import Peer

USER = 54321


def pretend(monkeypatch, user=USER):
    """Whoever's socket is named f... is a process of this user; the tests' processes are all of one."""
    first = Peer._first

    def of_user(peer, sock):
        data = first(peer, sock)
        if peer.key.startswith("f"):
            peer._is_heard_from(peer._sender_pid, user)
        return data
    monkeypatch.setattr(Peer, "_first", of_user)
