import pytest
import yaml

from search.space_file import read_point
from spaces import space_for
from trainable.errors import UsageError

SPACE = space_for("cb", mu=None)


def point(tmp_path, text):
    path = tmp_path / "point.yaml"
    path.write_text(text)
    return read_point(str(path), SPACE)


def test_a_point_may_leave_dimensions_open(tmp_path):
    assert point(tmp_path, "learning_rate: 3e-5\ncb_beta: 0.99\n") == {
        "learning_rate": 3e-5,  # YAML reads it as text
        "cb_beta": 0.99,
    }


def test_of_a_best_yaml_what_is_searched_counts(tmp_path):
    best = {
        "format": "longtail-search/best",
        "config": {"loss": "cb", "gamma": 1.5, "learning_rate": 2e-4, "batch_size": 16},
    }
    assert point(tmp_path, yaml.safe_dump(best)) == {"learning_rate": 2e-4, "gamma": 1.5}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gama: 1", "unknown searched setting 'gama': did you mean 'gamma'?"),
        ("batch_size: 8", "unknown searched setting 'batch_size'"),
        ("gamma: 9", "'gamma' must lie in [0, 4], got 9: widen the range with --space, or move"),
        ("gamma: true", "'gamma' must lie in [0, 4], got True"),
        ("gamma: high", "setting 'gamma' must be of type float, got 'high'"),
        ("cb_beta: 0.5", "'cb_beta' must lie in (0.9, 0.99, 0.999, 0.9999), got 0.5"),
        ("- 1", "must map searched settings to values, as in 'learning_rate: 3e-5'"),
        ("a: [", "not valid YAML"),
        ("format: longtail-search/best\nconfig: {}", "has none of the searched settings"),
    ],
)
def test_what_is_no_point(tmp_path, text, message):
    with pytest.raises(UsageError) as caught:
        point(tmp_path, text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value) or "YAML" in message


def test_no_such_file(tmp_path):
    with pytest.raises(UsageError, match=r"--point .*none.yaml: cannot be read \(No such file"):
        read_point(str(tmp_path / "none.yaml"), SPACE)
