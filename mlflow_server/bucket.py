"""An S3 bucket: a client of it, and before the server starts, can it be written?"""

import contextlib
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

from mlflow_server.errors import StoreError
from mlflow_server.settings import ServerSettings

_PROBE_NAME: Final = ".longtail-search-can-write"
_TIMEOUT_S: Final = 5


def check_bucket(settings: ServerSettings) -> None:
    """Write a small object and remove it.

    Raises:
        StoreError: no boto3, no such bucket, no credentials, or no right to write.
    """
    bucket, prefix = bucket_and_prefix(settings)
    where = {"Bucket": bucket, "Key": f"{prefix}{_PROBE_NAME}"}
    with connected(settings) as client:
        client.put_object(**where, Body=b"")
        client.delete_object(**where)


def bucket_and_prefix(settings: ServerSettings) -> tuple[str, str]:
    """The bucket's name, and what the keys of artifacts begin with: `some/runs/`, or nothing."""
    assert settings.artifacts is not None, "only where artifacts lie in a bucket"
    parts = urlsplit(settings.artifacts)
    return parts.netloc, f"{parts.path.strip('/')}/".lstrip("/")


@contextlib.contextmanager
def connected(settings: ServerSettings, *, timeout_s: int = _TIMEOUT_S) -> Iterator[Any]:
    """A client of the bucket's server.

    Raises:
        StoreError: there is no boto3; so does whatever the bucket refuses in the block.
    """
    try:
        import boto3
        from boto3.exceptions import Boto3Error
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        raise StoreError(
            "--artifacts s3:// needs boto3: pip install -c constraints.txt -e '.[team]'"
        ) from None
    config = Config(
        connect_timeout=timeout_s,
        read_timeout=timeout_s,
        retries={"max_attempts": 1},
        s3={"addressing_style": "path"} if settings.s3_endpoint else {},
    )
    try:
        yield boto3.Session().client("s3", endpoint_url=settings.s3_endpoint, config=config)
    except (Boto3Error, BotoCoreError, ClientError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise StoreError(
            f"--artifacts {settings.artifacts} cannot be used: {reason}; check the bucket, "
            "--s3-endpoint, AWS_DEFAULT_REGION, and the credentials (AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or ~/.aws/credentials)"
        ) from None
