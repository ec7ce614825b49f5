from __future__ import annotations

import itertools

import pytest

from headstart.serve.connections import MAX_CONNECTIONS, Connections, allowed_connections


class Connection:
    """What the accounts see of one: its stage, and whether it was closed."""

    def __init__(self, stage: int) -> None:
        self.stage, self.is_closed = stage, False
        self.transport = self

    def abort(self) -> None:
        self.is_closed = True


@pytest.mark.parametrize("order", list(itertools.permutations((0, 1, 2))))
def test_connections__idle_ones_give_way_before_those_with_a_request(
    order: tuple[int, ...],
) -> None:
    accounts = Connections(3)
    held = [Connection(stage) for stage in order]
    for one in held:
        accounts.add(one)
    gone = []
    for _ in range(3):
        accounts.add(Connection(2))
        gone.append(next(c.stage for c in held if c.is_closed and c.stage not in gone))
    assert gone == [0, 1, 2]


def test_connections__of_equals_the_oldest_gives_way() -> None:
    accounts = Connections(2)
    first, second, third = (Connection(0) for _ in range(3))
    for one in (first, second, third):
        accounts.add(one)
    assert [first.is_closed, second.is_closed, third.is_closed] == [True, False, False]


def test_connections__one_that_ended_makes_room() -> None:
    accounts = Connections(1)
    first, second = Connection(2), Connection(0)
    accounts.add(first)
    accounts.remove(first)
    accounts.remove(first)
    accounts.add(second)
    assert not first.is_closed


def test_allowed_connections__leave_files_for_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    for soft, n in ((64, 32), (8, 16), (1 << 20, MAX_CONNECTIONS), (resource.RLIM_INFINITY, 512)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, soft=soft: (soft, soft))
        assert allowed_connections() == n
