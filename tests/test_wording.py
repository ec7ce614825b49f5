from __future__ import annotations

from headstart.wording import listed


def test_listed__joins_with_and() -> None:
    assert [listed(names) for names in ("a", "ab", "abc")] == ["a", "a and b", "a, b and c"]
