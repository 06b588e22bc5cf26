"""Awaited processes: one look a round, none twice at a process that has done what is awaited."""
from types import SimpleNamespace

from klpfs.service.awaited import Awaited


def peers(count):
    return [SimpleNamespace(gone=False, done=False) for _ in range(count)]


def test_it_is_empty_once_all_have_done_it():
    some = peers(3)
    awaited = Awaited(list(some))
    assert not awaited.is_empty(lambda peer: peer.done)
    for peer in some:
        peer.done = True
    assert awaited.is_empty(lambda peer: peer.done)
    assert Awaited([]).is_empty(lambda peer: False)


def test_a_process_that_is_gone_is_not_waited_for():
    some = peers(2)
    awaited = Awaited(list(some))
    some[0].gone = some[1].gone = True
    assert awaited.is_empty(lambda peer: peer.done)


def test_n_reports_cost_two_n_looks():
    """Whichever order they come in: each round looks at one process that has not done it, and once at each that has."""
    for order in (1, -1):
        some, looks = peers(50), []
        awaited = Awaited(list(some))

        def has_done(peer, looks=looks):
            looks.append(peer)
            return peer.done
        for peer in some[::order]:
            awaited.is_empty(has_done)
            peer.done = True
        assert awaited.is_empty(has_done)
        assert len(looks) <= 100


def test_the_caller_s_list_stays_as_it_is():
    """A round gives its list of processes to several answers, which look into it afterwards."""
    some = peers(2)
    for peer in some:
        peer.done = True
    assert Awaited(some).is_empty(lambda peer: peer.done) and len(some) == 2
