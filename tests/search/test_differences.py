"""What is told of a search that is not what it was."""

import copy

import pytest

from search.differences import (
    Difference,
    check_acceptable,
    check_data,
    differences,
    machine_differences,
)
from spaces import change_space, space_for
from tests.search.test_spec import spec
from trainable.errors import UsageError


def origin(of=None, **changes):
    """As `describe_origin` tells it."""
    return {
        "attempt": 1,
        "python": "3.11.9",
        "packages": {"torch": "2.13.0+cpu", "optuna": "5.0.0", "mlflow": "3.17.2"},
        "cpu": "a cpu",
        "gpu": None,
        "numbers": {
            "code": {"trainable/loop.py": "aaa", "spaces/ranges.py": "bbb"},
            "data": "d1",
            "encoder": "e" * 64,
            "search": (of or spec()).deciding,
            "precision": "bf16",
        },
        **changes,
    }


def with_numbers(**changes):
    told = origin()
    return {**told, "numbers": {**told["numbers"], **changes}}


def test_nothing_changed():
    assert differences(origin(), copy.deepcopy(origin())) == ()
    assert machine_differences(origin(), origin()) == ()


@pytest.mark.parametrize(
    ("now", "row"),
    [
        (
            origin(packages={"torch": "2.14.0+cpu", "optuna": "5.0.0"}),
            ("torch", "2.13.0", "2.14.0"),
        ),
        (origin(packages={"torch": "2.13.0+cpu"}), ("optuna", "5.0.0", "-")),
        (
            with_numbers(code={"trainable/loop.py": "aab", "spaces/ranges.py": "bbb"}),
            ("trainable/loop.py", "aaa", "aab"),
        ),
        (with_numbers(code={"trainable/loop.py": "aaa"}), ("spaces/ranges.py", "bbb", "-")),
        (
            with_numbers(encoder="f" * 64),
            ("files of the encoder", "e" * 12, "f" * 12),
        ),
        (origin(spec(grace_period=1)), ("search: grace_period", "2", "1")),
        (origin(spec(seed=7)), ("search: seed", "0", "7")),
        (
            origin(spec(config=spec().config.replace(dropout=0.2))),
            ("dropout", "0.1", "0.2"),
        ),
        (
            origin(
                spec(space=change_space(spec().space, {"gamma": {"low": 0.25, "high": 4.0}})),
            ),
            ("space: gamma", "0.0 .. 4.0", "0.25 .. 4.0"),
        ),
        (
            origin(spec(space=change_space(spec().space, {"batch_size": [16, 32]}))),
            ("space: batch_size", "-", "16, 32"),
        ),
    ],
)
def test_what_decides_numbers_is_named(now, row):
    assert differences(origin(), now) == (Difference(*row),)


def test_what_does_not_decide_numbers_is_not():
    more = {**origin()["packages"], "mlflow": "4.0"}
    assert differences(origin(), origin(packages=more)) == ()
    assert differences(origin(), origin(spec(trials=99, max_concurrent=1))) == ()


def test_an_older_program_told_less():
    assert differences({"python": "3.11.9"}, origin()) == ()
    assert differences({"packages": {"torch": "2.13.0"}}, origin()) == ()
    assert machine_differences({}, origin()) == ()


def test_much_changed_code_is_cut_short():
    rows = differences(
        with_numbers(code={}), with_numbers(code={f"trainable/{n:02}.py": "x" for n in range(30)})
    )
    assert [row.what for row in rows][-2:] == ["trainable/07.py", "and 22 more of our files"]


def test_a_machine_is_told_by_what_changes_rounding():
    now = origin(
        cpu="another", gpu="H100", packages={**origin()["packages"], "torch": "2.13.0+cu130"}
    )
    assert differences(origin(), now) == ()
    rows = [
        Difference("cpu", "a cpu", "another"),
        Difference("gpu", "-", "H100"),
        Difference("torch", "2.13.0+cpu", "2.13.0+cu130"),
    ]
    assert [*machine_differences(origin(), now)] == rows
    assert [*machine_differences(origin(), with_numbers(precision="fp32"))] == [
        Difference("precision", "bf16", "fp32")
    ]
    assert machine_differences(origin(), with_numbers(precision=None)) == ()  # on a cluster


def test_another_loss_or_kind_of_training_is_refused():
    bce = spec(config=spec().config.from_mapping({"loss": "bce"}), space=space_for("bce", mu=None))
    with pytest.raises(UsageError) as caught:
        check_acceptable("mine", [origin()], origin(bce))
    assert str(caught.value) == (
        "loss cannot change within a search, not with --accept-changes either: search 'mine' has "
        "db, got bce; restore spec.yaml, or start a new search"
    )
    head = spec(config=spec().config.replace(tune="head"))
    with pytest.raises(UsageError, match="tune cannot change within a search"):
        check_acceptable("mine", [origin()], origin(head))
    other = spec(config=spec().config.replace(objective="macro_f1"))
    with pytest.raises(UsageError, match="objective cannot change within a search"):
        check_acceptable("mine", [origin()], origin(other))


def searched(**changes):
    return origin(spec(space=change_space(spec().space, changes)))


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        (
            {"batch_size": [16, 32]},
            {"batch_size": [16, 32, 64]},
            "'batch_size' is searched as one of 16, 32, 64 and was as one of 16, 32: only the ends",
        ),
        (
            {"batch_size": [16, 32]},
            {"batch_size": {"low": 16, "high": 32}},
            "'batch_size' is searched as a linear range of whole numbers and was as one of 16, 32",
        ),
        (
            {"dropout": {"low": 0.1, "high": 0.3}},
            {"dropout": {"low": 0.1, "high": 0.3, "log": True}},
            "'dropout' is searched as a logarithmic range of numbers and was as a linear range of",
        ),
    ],
)
def test_a_dimension_of_another_kind_is_refused(before, after, message):
    with pytest.raises(UsageError) as caught:
        check_acceptable("mine", [searched(**before)], searched(**after))
    assert str(caught.value).startswith(message)
    # also where an attempt in between did without it
    with pytest.raises(UsageError):
        check_acceptable("mine", [searched(**before), origin()], searched(**after))


def test_ends_of_ranges_and_more_or_fewer_dimensions_are_acceptable():
    check_acceptable("mine", [origin()], searched(gamma={"low": 1.0, "high": 9.0}))
    check_acceptable("mine", [origin()], searched(batch_size=[16, 32]))
    check_acceptable("mine", [searched(batch_size=[16, 32])], origin())
    check_acceptable("mine", [{"python": "3.11"}], origin())


def test_other_data_are_refused():
    message = "the data of search 'mine' have changed since it began, and scores on other data do"
    for earlier, recorded in (([origin()], None), ([{}], "d1"), ([], "d1")):
        check_data("mine", earlier, recorded, "d1")
        with pytest.raises(UsageError, match=message):
            check_data("mine", earlier, recorded, "d2")
    check_data("mine", [], None, "d2")
