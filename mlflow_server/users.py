"""Who may use a server: users and the two roles, through MLflow's own interface.

By default a user may do nothing with what others made. The role `searcher` reads and continues
every experiment, since the searches of a team over one dataset share an experiment, but deletes
only in experiments that the user made; `reader` only reads. A role is a row that the admin can
change later; MLflow's one default permission would be the same for everyone.
"""

import base64
import http.client
import json
from http import HTTPStatus
from typing import Any, Final

from mlflow_server.store import StoreError

ROLES: Final = {"searcher": "EDIT", "reader": "READ"}
"""What each may do with all experiments, in MLflow's words."""
_WORKSPACE: Final = "default"  # the only one where MLflow has workspaces switched off
_TIMEOUT_S: Final = 30
_USERS: Final = "/api/2.0/mlflow/users"
_ROLES: Final = "/api/3.0/mlflow/roles"


class Users:
    """The users of the server at `host:port`, as its admin sees them."""

    def __init__(self, host: str, port: int, *, admin: str, password: str) -> None:
        self._host = host
        self._port = port
        token = base64.b64encode(f"{admin}:{password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {token}", "Content-Type": "application/json"}

    def check(self) -> None:
        """Raise StoreError unless the server answers to an admin."""
        if not self._ask("GET", f"{_USERS}/current", {})["user"]["is_admin"]:
            raise StoreError("only an admin manages users: set MLFLOW_TRACKING_USERNAME=admin")

    def add(self, name: str, password: str, role: str) -> None:
        """Create the user, with a role of ROLES.

        Raises:
            StoreError: there is such a user, or the server refuses.
        """
        role_id = self._role_id(role)
        self._ask("POST", f"{_USERS}/create", {"username": name, "password": password})
        self._ask("POST", f"{_ROLES}/assign", {"username": name, "role_id": role_id})

    def set_password(self, name: str, password: str) -> None:
        """Give the user another password; workers may take the old one for a minute more."""
        self._ask("PATCH", f"{_USERS}/update-password", {"username": name, "password": password})

    def remove(self, name: str) -> None:
        """Delete the user; what was recorded stays."""
        self._ask("DELETE", f"{_USERS}/delete", {"username": name})

    def _role_id(self, role: str) -> int:
        """The role's id; the role is made if it is absent."""
        found = self._ask("GET", f"{_ROLES}/list?workspace={_WORKSPACE}", {})
        known = {one["name"]: one for one in found["roles"]}
        if role not in known:
            body = {"name": role, "workspace": _WORKSPACE}
            known[role] = self._ask("POST", f"{_ROLES}/create", body)["role"]
        made = known[role]
        if not made["permissions"]:  # also of one that was cut off here
            grant = {"resource_type": "experiment", "resource_pattern": "*"}
            body = {"role_id": made["id"], "permission": ROLES[role], **grant}
            self._ask("POST", f"{_ROLES}/permissions/add", body)
        return int(made["id"])

    def _ask(self, method: str, path: str, body: dict[str, Any]) -> Any:
        # not urllib: that would ask a proxy for our own machine
        connection = http.client.HTTPConnection(self._host, self._port, timeout=_TIMEOUT_S)
        try:
            content = json.dumps(body) if body else None
            connection.request(method, path, body=content, headers=self._headers)
            response = connection.getresponse()
            text = response.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "strerror", None) or error
            raise StoreError(
                f"no server answers at {self._host}:{self._port} ({reason}): start it, or name "
                "its --port"
            ) from None
        finally:
            connection.close()
        if response.status != HTTPStatus.OK:
            raise StoreError(_refusal(response.status, text))
        return json.loads(text or "{}")


def _refusal(status: int, text: str) -> str:
    if status == HTTPStatus.UNAUTHORIZED:
        return (
            "the server does not take this name and password: set MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD to the admin's"
        )
    if status == HTTPStatus.NOT_FOUND and "error_code" not in text:
        return "the server has no login: start it with --login"
    try:
        reason = json.loads(text)["message"]
    except (ValueError, KeyError, TypeError):
        reason = text
    return f"the server refuses (HTTP {status}): {reason.partition(' Error:')[0]}"
