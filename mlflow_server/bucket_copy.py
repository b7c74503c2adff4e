"""The artifacts of a bucket into a backup, and back: object by object, sizes compared."""

from pathlib import Path, PurePosixPath
from typing import Any, Final

from mlflow_server.archive import ARTIFACTS, Writer
from mlflow_server.bucket import bucket_and_prefix, connected
from mlflow_server.errors import ServerError, StoreError
from mlflow_server.settings import ServerSettings

_TIMEOUT_S: Final = 60  # of one answer, not of an object


def objects(settings: ServerSettings) -> tuple[dict[str, int], list[str]]:
    """Sizes by the names that the objects have in a backup; those that can have none.

    Raises:
        StoreError: the bucket cannot be read.
    """
    with connected(settings, timeout_s=_TIMEOUT_S) as client:
        sizes = _sizes(client, settings)
    found, left_out = {}, []
    for key, size in sizes.items():
        path = PurePosixPath(key)
        if key != str(path) or path.is_absolute() or ".." in path.parts:
            left_out.append(f"{settings.artifacts}: {key} (no name of a file)")
        else:
            found[f"{ARTIFACTS}/{key}"] = size
    return found, left_out


def add_all(settings: ServerSettings, writer: Writer, names: list[str]) -> list[str]:
    """Add the objects of these names; returns those that are gone by now.

    Raises:
        StoreError: the bucket cannot be read.
    """
    gone = []
    bucket, prefix = bucket_and_prefix(settings)
    with connected(settings, timeout_s=_TIMEOUT_S) as client:
        for name in names:
            key = prefix + name.removeprefix(f"{ARTIFACTS}/")
            try:
                answer = client.get_object(Bucket=bucket, Key=key)
            except client.exceptions.NoSuchKey:
                gone.append(f"{settings.artifacts}: {key} (deleted meanwhile)")
                continue
            writer.add_stream(answer["Body"], name, answer["ContentLength"])
    return gone


def check_place(settings: ServerSettings, *, replace: bool) -> None:
    """Raise StoreError if an object is there and must not be replaced."""
    bucket, prefix = bucket_and_prefix(settings)
    with connected(settings, timeout_s=_TIMEOUT_S) as client:
        first = client.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1)
    if first.get("Contents") and not replace:
        raise StoreError(
            f"{settings.artifacts} holds objects, such as {first['Contents'][0]['Key']}: add "
            "--replace, which writes over those of the same names, or name another prefix"
        )


def upload(settings: ServerSettings, folder: Path) -> None:
    """Write the files below `folder` to the bucket; what else is there stays.

    Raises:
        StoreError: the bucket cannot be written.
        ServerError: what it holds afterwards is not what was sent.
    """
    files = {
        path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()
    }
    bucket, prefix = bucket_and_prefix(settings)
    with connected(settings, timeout_s=_TIMEOUT_S) as client:
        for name, path in files.items():
            client.upload_file(str(path), bucket, prefix + name)
        sizes = _sizes(client, settings)
    wrong = [name for name, path in files.items() if sizes.get(name) != path.stat().st_size]
    if wrong:
        raise ServerError(
            f"{settings.artifacts} has not taken {wrong[0]} and {len(wrong) - 1} others: restore "
            "again"
        )


def _sizes(client: Any, settings: ServerSettings) -> dict[str, int]:
    bucket, prefix = bucket_and_prefix(settings)
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return {
        item["Key"].removeprefix(prefix): int(item["Size"])
        for page in pages
        for item in page.get("Contents", ())
        if not item["Key"].endswith("/")  # a folder of some consoles
    }
