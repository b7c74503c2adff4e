"""YAML of strangers: plain values alone, of a size that fits."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from trainable.plain_yaml import parse_yaml

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text("abc")
PLAIN = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("xyz"), inner, max_size=4),
    max_leaves=20,
)


@given(PLAIN)
def test_plain_values_come_back(value):
    assert parse_yaml(yaml.safe_dump(value)) == value


def test_tags_of_python_run_nothing(tmp_path):
    sprung = tmp_path / "sprung"
    for tag in ("object/apply:os.system", "object/new:os.system", "name:os.system"):
        with pytest.raises(yaml.YAMLError):
            parse_yaml(f"!!python/{tag} ['touch {sprung}']")
    assert not sprung.exists()


def test_bombs_are_refused_before_they_fill_the_memory():
    laughs = ["a0: &a0 [" + "x, " * 9 + "x]"]
    laughs += [f"a{n}: &a{n} [" + f"*a{n - 1}, " * 9 + f"*a{n - 1}]" for n in range(1, 9)]
    with pytest.raises(ValueError, match="stands for more than 500000 values"):
        parse_yaml("\n".join(laughs))
    with pytest.raises(ValueError, match="nested too deep"):
        parse_yaml("[" * 100 + "]" * 100)
    with pytest.raises(ValueError, match="nested too deep"):
        parse_yaml("[" * 100_000 + "]" * 100_000)
    with pytest.raises(ValueError, match="longer than 8 MiB"):
        parse_yaml("#" * (8 * 2**20 + 1))
    with pytest.raises(ValueError, match="nested too deep"):
        parse_yaml("&a [*a]")
