from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.augment import DEFAULTS, Choice, Policy, parse_policy
from headstart.augment.policy import LEGAL
from headstart.errors import InputError

STEP = (
    Choice(operation="rotate", weight=0.75, probability=0.5, magnitude=0.25),
    Choice(operation="invert", weight=0.25, probability=0.1, magnitude=0.5),
)
LEARNT = Policy(name="learnt", sub_policies=((STEP, STEP), (STEP,)))
FIXED = [name for name in DEFAULTS if name != "learnt"]


@pytest.mark.parametrize("name", FIXED)
def test_parse_policy__reads_every_name_with_its_defaults(name: str) -> None:
    policy = parse_policy(name)
    assert policy.name == name
    assert {k: getattr(policy, k) for k in DEFAULTS[name]} == DEFAULTS[name]
    assert all(getattr(policy, k) is None for k in LEGAL if k not in DEFAULTS[name])


def test_parse_policy__reads_parameters() -> None:
    policy = parse_policy(" Mixup: alpha=0.4 ,flip=0")
    assert policy == Policy(name="mixup", alpha=0.4, flip=0.0)
    assert parse_policy("augmix:width=2").width == 2
    assert isinstance(parse_policy("augmix:width=2").width, int)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("mixp", "Did you mean 'mixup'"),
        ("", "no augmentation policy is called ''"),
        ("learnt", "augment search"),
        ("mixup:alpha=0", "alpha of the augmentation policy 'mixup' must be a number above 0"),
        ("mixup:alpha=-1", "above 0"),
        ("mixup:alpha=nan", "above 0"),
        ("mixup:alpha=1e999", "above 0"),
        ("mixup:alpha", "write mixup:alpha=0.2"),
        ("mixup:alhpa=1", "Did you mean 'alpha'"),
        ("basic:alpha=1", "has no parameter 'alpha'"),
        ("none:flip=1", "takes no parameters"),
        ("augmix:width=2.5", "a whole number from 1 to 10"),
        ("randaugment:magnitude=31", "from 0 to 30"),
        ("no/such/file.json", "cannot be read"),
    ],
)
def test_parse_policy__says_in_one_line_what_is_wrong(text: str, says: str) -> None:
    with pytest.raises(InputError) as raised:
        parse_policy(text)
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)
    assert raised.value.exit_code == 2


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "it is not JSON"),
        ("[" * 100_000, "it is not JSON"),
        ("[1]", "needs a 'name'"),
        ('{"name": "mixup", "format": 2}', "has format 2, this Headstart reads 1"),
        ('{"name": "mixup", "alpha": true}', "must be a number"),
        ('{"name": "mixup", "alpha": "much"}', "must be a number"),
        ('{"name": "mixup", "colour": 1}', "no parameter 'colour'"),
        ('{"name": "learnt"}', "augment search"),
        ('{"name": "learnt", "sub_policies": 3}', "damaged"),
        ('{"name": "learnt", "sub_policies": []}', "empty"),
        ('{"name": "learnt", "sub_policies": [[[{"operation": "rotate"}]]]}', "damaged"),
        (
            (
                '{"name": "learnt", "sub_policies": [[[{"operation": "rotat", "weight": 1, '
                '"probability": 1, "magnitude": 1}]]]}'
            ),
            "Did you mean 'rotate'",
        ),
        (
            (
                '{"name": "learnt", "sub_policies": [[[{"operation": "rotate", "weight": 0.5, '
                '"probability": 1, "magnitude": 1}]]]}'
            ),
            "must sum to 1",
        ),
        (
            (
                '{"name": "learnt", "sub_policies": [[[{"operation": "rotate", "weight": 1, '
                '"probability": 2, "magnitude": 1}]]]}'
            ),
            "probability of rotate must be from 0 to 1",
        ),
    ],
)
def test_parse_policy__names_the_damaged_file(tmp_path: Path, content: str, says: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(content)
    with pytest.raises(InputError) as raised:
        parse_policy(str(path))
    assert says in str(raised.value)
    assert "bad.json" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_parse_policy__reads_a_learnt_file(tmp_path: Path) -> None:
    path = tmp_path / "learnt.json"
    path.write_text(json.dumps({**LEARNT.to_dict(), "search": {"seconds": 3}}))
    assert parse_policy(str(path)) == LEARNT


@given(
    st.sampled_from(FIXED).flatmap(
        lambda name: st.fixed_dictionaries(
            {"name": st.just(name)},
            optional={
                k: st.integers(int(LEGAL[k].low) + 1, int(LEGAL[k].high))
                if LEGAL[k].high >= LEGAL[k].low + 1
                else st.floats(0.01, LEGAL[k].high)
                for k in DEFAULTS[name]
            },
        )
    )
)
def test_from_dict__undoes_to_dict(values: dict) -> None:
    policy = Policy(**values)
    through = Policy.from_dict(json.loads(json.dumps(policy.to_dict())))
    assert through == policy
    assert hash(through) == hash(policy)


def test_from_dict__undoes_to_dict_of_a_learnt_policy() -> None:
    assert Policy.from_dict(json.loads(json.dumps(LEARNT.to_dict()))) == LEARNT


def test_policy__cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        LEARNT.flip = 0.0  # type: ignore[misc]


def test_augment__imports_no_torch_before_it_is_asked_for() -> None:
    code = (
        "import sys, headstart.augment as a; a.parse_policy('mixup'); "
        "assert not {'torch', 'kornia', 'torchvision'} & set(sys.modules); "
        "assert all(callable(getattr(a, n)) for n in a.__all__ if n[0].islower())"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
