"""TOML to frozen classes and back."""

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field, PositiveFloat

from bids_app.errors import UsageError
from bids_app.settings import Label, from_plain, to_toml


@dataclass(frozen=True, kw_only=True)
class Config:
    place: Path
    kind: Literal["a", "b"] = "a"
    n: Annotated[int, Field(ge=1)] = 1
    labels: tuple[Label, ...] = ()
    cut: PositiveFloat = 2.0
    rule: Literal["auto"] | Annotated[int, Field(ge=1)] = "auto"
    deep: bool = False
    other: Path | None = None
    roles: dict[str, str] = field(default_factory=dict)


def test_what_was_written_is_read_back():
    config = Config(place=Path("/x"), kind="b", n=3, labels=("01", "2"), rule=4, roles={"a": "b"})
    text = to_toml(vars(config))
    assert "other" not in text
    assert from_plain(Config, tomllib.loads(text)) == config


def test_numbers_where_labels_stand_are_labels_and_whole_numbers_are_numbers():
    config = from_plain(Config, {"place": "x", "labels": [1, "02"], "cut": 3})
    assert (config.labels, config.cut, type(config.cut)) == (("1", "02"), 3.0, float)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"plce": "x"}, "c.toml: unknown option plce; known are place, kind, n,"),
        ({"kind": "c"}, "c.toml: the option kind is one of a, b, not 'c'"),
        ({"n": 0}, "the option n must be 1 or more, not 0"),
        ({"n": "2"}, "the option n takes a whole number, not '2'"),
        ({"n": True}, "the option n takes a whole number, not True"),
        ({"n": 1.5}, "the option n takes a whole number, not 1.5"),
        ({"labels": "01"}, "the option labels takes a list, not '01'"),
        ({"labels": [[]]}, "the option labels takes text in quotes, not []"),
        ({"cut": 0}, "the option cut must be positive, not 0"),
        ({"cut": "1"}, "the option cut takes a number, not '1'"),
        ({"deep": 1}, "the option deep takes true or false, not 1"),
        ({"place": 3}, "the option place takes text in quotes, not 3"),
        ({"rule": 0}, "the option rule is one of auto or must be 1 or more, not 0"),
        ({"roles": 1}, "the option roles takes a table, not 1"),
        ({"place": "a\0b"}, "c.toml: a text holds a NUL"),
        ({"n": ["x"] * 1000}, "the option n takes a whole number, not ['x', 'x'"),
        (3, "a table of options is needed, not 3"),
    ],
)
def test_what_does_not_fit_is_a_sentence_with_file_key_and_value(values, words):
    with pytest.raises(UsageError) as error:
        from_plain(Config, {"place": "x", **values} if isinstance(values, dict) else values, "c.toml")
    assert words in str(error.value)
    assert len(str(error.value)) < 500
    assert str(error.value).startswith("c.toml: ")
