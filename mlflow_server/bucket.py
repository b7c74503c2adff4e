"""An S3 bucket before the server starts: can it be written?"""

from typing import Final
from urllib.parse import urlsplit

from mlflow_server.settings import ServerSettings
from mlflow_server.store import StoreError

_PROBE_NAME: Final = ".longtail-search-can-write"
_TIMEOUT_S: Final = 5


def check_bucket(settings: ServerSettings) -> None:
    """Write a small object and remove it.

    Raises:
        StoreError: no boto3, no such bucket, no credentials, or no right to write.
    """
    assert settings.artifacts is not None, "only a bucket is checked"
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        raise StoreError(
            "--artifacts s3:// needs boto3: pip install -c constraints.txt -e '.[team]'"
        ) from None
    parts = urlsplit(settings.artifacts)
    where = {"Bucket": parts.netloc, "Key": f"{parts.path.strip('/')}/{_PROBE_NAME}".lstrip("/")}
    style = {"addressing_style": "path"} if settings.s3_endpoint else {}
    try:
        client = boto3.Session().client(
            "s3",
            endpoint_url=settings.s3_endpoint,
            config=Config(
                connect_timeout=_TIMEOUT_S,
                read_timeout=_TIMEOUT_S,
                retries={"max_attempts": 1},
                s3=style,
            ),
        )
        client.put_object(**where, Body=b"")
        client.delete_object(**where)
    except (BotoCoreError, ClientError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise StoreError(
            f"--artifacts {settings.artifacts} cannot be written: {reason}; check the bucket, "
            "--s3-endpoint, AWS_DEFAULT_REGION, and the credentials (AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or ~/.aws/credentials)"
        ) from None
