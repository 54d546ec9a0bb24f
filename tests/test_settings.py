"""Settings declared once: checked, in a config, explained."""

import dataclasses

import pytest
from ml_collections import ConfigDict

from venhancer_jax.errors import InputError
from venhancer_jax.settings import (
    add_to_config,
    choice,
    flag,
    from_config,
    help_rows,
    normalise,
    number,
    old_names,
    parsed,
    table,
    text,
    whole,
    whole_pair,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Example:
    """One setting of each kind."""

    count: int = whole(3, low=1, high=9, group="a", about="how many")
    limit: int | None = whole(None, low=1, high=9, group="a", about="at most")
    share: float = number(0.5, low=0, high=1, group="b", about="how much")
    mode: str = choice("fast", ("fast", "slow"), group="a", about="how", old_name="speed")
    name: str = text("", group="b", about="a name")
    on: bool = flag(False, group="b", about="whether")
    size: tuple[int, int] | None = whole_pair(
        None, low=2, high=8, names=("rows", "columns"), group="b", about="how large"
    )
    code: int | None = parsed(None, int, kind="code", group="b", about="a number in a text")
    mesh: dict = table({"data": 0, "rows": 1}, group="c", about={"data": "x", "rows": "y"})

    def __post_init__(self):
        normalise(self)


def test_values_are_checked_and_stored_in_their_type():
    found = Example(count=4.0, share=1, size=[2, 8], code="12", mesh={"rows": 2})
    assert (found.count, found.share, found.size, found.code) == (4, 1.0, (2, 8), 12)
    assert found.mesh == {"data": 0, "rows": 2}
    assert type(found.count) is int and type(found.share) is float


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"count": 10}, "count 10: expected a whole number from 1 to 9"),
        ({"count": 2.5}, "count 2.5: expected a whole number from 1 to 9"),
        ({"count": True}, "count True: expected a whole number from 1 to 9"),
        ({"count": None}, "count None: expected a whole number from 1 to 9"),
        ({"share": float("inf")}, "share inf: expected a number from 0 to 1"),
        ({"mode": "other"}, "mode 'other': expected one of fast, slow"),
        ({"name": 1}, "name 1: expected a text"),
        ({"on": "yes"}, "on 'yes': expected True or False"),
        ({"size": (1, 2)}, "size (1, 2): expected two whole numbers from 2 to 8, rows and columns"),
        ({"size": "22"}, "size '22': expected two whole numbers from 2 to 8, rows and columns"),
        ({"code": "x"}, "code 'x': invalid literal"),
        ({"mesh": {"model": 1}}, "expected entries data, rows; unknown 'model'"),
        ({"mesh": {"data": "two"}}, "data: expected a whole"),
    ],
)
def test_wrong_values_are_named(values: dict, message: str):
    with pytest.raises(InputError) as error:
        Example(**values)
    assert message in str(error.value)


def test_a_config_has_a_key_for_each_setting():
    config = ConfigDict()
    add_to_config(config, Example)
    assert set(config) == {field.name for field in dataclasses.fields(Example)}
    assert from_config(Example, config) == Example()
    config.limit, config.size, config.mesh.rows = 7, (3, 4), 5
    found = from_config(Example, config, count=9)
    assert (found.limit, found.size, found.count) == (7, (3, 4), 9)
    assert found.mesh == {"data": 0, "rows": 5}


def test_help_has_a_row_for_each_key_with_groups_together():
    config = ConfigDict()
    add_to_config(config, Example)
    config.count = 5
    rows = help_rows(config, Example)
    assert [row.key for row in rows] == [
        "count", "limit", "mode", "share", "name", "on", "size", "code", "mesh.data", "mesh.rows",
    ]  # fmt: skip
    first, mode, size = rows[0], rows[2], rows[6]
    assert (first.kind, first.default, first.about, first.group) == ("whole", 5, "how many", "a")
    assert (mode.kind, mode.choices) == ("word", ("fast", "slow"))
    assert (size.kind, size.default) == ("rows,columns", None)
    assert (rows[-1].kind, rows[-1].default, rows[-1].about) == ("whole", 1, "y")


def test_old_names():
    assert old_names(Example) == {"speed": "mode"}
