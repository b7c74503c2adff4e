"""`add-user`, `set-password`, `remove-user`: each asks for a password, or makes one and says it."""

import argparse
import getpass
import os
import re
import sys
from collections.abc import Callable
from typing import Any, Final

from mlflow_server.login import ADMIN, asked_password, checked_password, made_password
from mlflow_server.options import add_server_options, server_settings
from mlflow_server.store import StoreError
from mlflow_server.users import ROLES, Users

NEW_PASSWORD_VARIABLE: Final = "MLFLOW_NEW_USER_PASSWORD"
USER_VERBS: Final = ("add-user", "set-password", "remove-user")
_NAME: Final = re.compile(r"[\w.@-]{1,64}", re.ASCII)


def add_user_verbs(verbs: "argparse._SubParsersAction[Any]") -> None:
    """Add the three verbs; each leaves its function in `run`."""
    made = verbs.add_parser("add-user", help="let somebody use a server with a login")
    made.add_argument("user", metavar="NAME")
    made.add_argument("--role", choices=tuple(ROLES), default="searcher", help="default: searcher")
    made.set_defaults(run=add_user)
    for name, run, words in (
        ("set-password", set_password, "give a user another password"),
        ("remove-user", remove_user, "shut a user out; what was recorded stays"),
    ):
        made = verbs.add_parser(name, help=words)
        made.add_argument("user", metavar="NAME")
        made.set_defaults(run=run)
    for made in (verbs.choices[name] for name in USER_VERBS):
        add_server_options(made)


def add_user(options: argparse.Namespace, say: Callable[[str], None]) -> None:
    """Create the user and say how the searches log in."""
    users = _users(options)
    users.add(options.user, _new_password(options.user, say), options.role)
    say(
        f"{options.user} is a {options.role}; searches log in with "
        "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
    )


def set_password(options: argparse.Namespace, say: Callable[[str], None]) -> None:
    """Change a password."""
    _users(options).set_password(options.user, _new_password(options.user, say))
    say(f"{options.user} has a new password")


def remove_user(options: argparse.Namespace, say: Callable[[str], None]) -> None:
    """Delete a user."""
    _users(options).remove(options.user)
    say(f"{options.user} is removed")


def _users(options: argparse.Namespace) -> Users:
    if not _NAME.fullmatch(options.user):
        raise StoreError(
            f"a user's name has letters, digits and .@_- (at most 64), got '{options.user}'"
        )
    settings = server_settings(options)
    name = os.environ.get("MLFLOW_TRACKING_USERNAME", ADMIN)
    password = os.environ.get("MLFLOW_TRACKING_PASSWORD")
    if not password:
        if not sys.stdin.isatty():
            raise StoreError(f"set MLFLOW_TRACKING_PASSWORD to the password of the user {name}")
        password = getpass.getpass(f"Password of {name}: ")
    users = Users(settings.host, settings.port, admin=name, password=password)
    users.check()
    return users


def _new_password(user: str, say: Callable[[str], None]) -> str:
    given = os.environ.get(NEW_PASSWORD_VARIABLE)
    if given:
        return checked_password(given, NEW_PASSWORD_VARIABLE)
    asked = asked_password(user) if sys.stdin.isatty() else ""
    return asked or made_password(user, say)
