"""What stands under an output of type `files` in connections.yml."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from revetl.destinations.files.layout import check_template
from revetl.model import Contents

Format = Literal["parquet", "csv", "ndjson"]
Scheme = Literal["file", "s3", "gs", "sftp"]

_OF_SCHEME: dict[Scheme, str] = {"s3": "s3", "gs": "gcs", "sftp": "sftp"}


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class S3Options(_Model):
    """`endpoint_url`: of a store that speaks S3 (MinIO, R2). Without keys the library looks where AWS's own tools look:
    the environment, the profile, the machine's role."""

    region: str | None = None
    endpoint_url: str | None = None
    access_key_id: SecretStr | None = None
    secret_access_key: SecretStr | None = None
    session_token: SecretStr | None = None

    @model_validator(mode="after")
    def _both_keys(self) -> Self:
        if (self.access_key_id is None) != (self.secret_access_key is None):
            raise ValueError("write `access_key_id` and `secret_access_key`, or neither")
        return self


class GcsOptions(_Model):
    """`service_account`: the whole JSON file of its key."""

    service_account: SecretStr = Field(min_length=1)
    base_url: str = "https://storage.googleapis.com"


class SftpOptions(_Model):
    """`known_hosts`: a file as ssh has it; a host that does not stand there, with that key, is not talked to.
    `private_key`: the text of a key in PEM or in OpenSSH's form."""

    known_hosts: str = Field(min_length=1)
    password: SecretStr | None = Field(default=None, min_length=1)
    private_key: SecretStr | None = Field(default=None, min_length=1)
    passphrase: SecretStr | None = None

    @model_validator(mode="after")
    def _some_credential(self) -> Self:
        if self.password is None and self.private_key is None:
            raise ValueError("write `password` or `private_key`")
        return self


@dataclass(frozen=True, slots=True)
class Location:
    """What `url` names. `host`: the bucket, or the machine; `folder` has no slash at its end."""

    scheme: Scheme
    host: str = ""
    folder: str = ""
    user: str = ""
    port: int | None = None


class Options(_Model):
    """`url`: a folder (`file:///srv/exports`), `s3://bucket/folder`, `gs://bucket/folder` or `sftp://user@host/folder`.
    `contents`: the records that changed, or every record that stands after the run. `path`: where a run's file goes,
    below `url` and without its ending; `{run_id}` has to be in it. A run is cut into several files past
    `rows_per_file` or `megabytes_per_file`. `spreadsheet_safe`: in CSV, what a spreadsheet would compute is made text.
    `allow_insecure`: plain http to another machine's endpoint."""

    url: str
    format: Format = "parquet"
    contents: Contents = "changes"
    path: str = "{object}/{date}/{run_id}"
    rows_per_file: int = Field(default=1_000_000, ge=1, le=50_000_000)
    megabytes_per_file: int = Field(default=256, ge=1, le=4_096)
    spreadsheet_safe: bool = True
    s3: S3Options | None = None
    gcs: GcsOptions | None = None
    sftp: SftpOptions | None = None
    allow_insecure: bool = False

    _path = field_validator("path")(check_template)

    @field_validator("url")
    @classmethod
    def _is_a_place(cls, url: str) -> str:
        located(url)
        return url

    @model_validator(mode="after")
    def _of_one_place(self) -> Self:
        scheme = located(self.url).scheme
        for name in _OF_SCHEME.values():
            if getattr(self, name) is not None and _OF_SCHEME.get(scheme) != name:
                raise ValueError(f"`{name}` has no meaning for a url of {scheme}://")
        if scheme == "sftp" and self.sftp is None:
            raise ValueError("write `sftp` with `known_hosts`, and `password` or `private_key`")
        if scheme == "gs" and self.gcs is None:
            raise ValueError("write `gcs` with `service_account`")
        return self


def located(url: str) -> Location:
    """ValueError with what would be right; it repeats nothing of the url, where a password is wrongly put."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("no valid address") from None
    if parts.password is not None:
        raise ValueError("it holds a password: write that as `sftp: {password: …}`, from the environment")
    if parts.query or parts.fragment:
        raise ValueError("neither ? nor # may be in it")
    folder = unquote(parts.path).rstrip("/")
    if any(not c.isprintable() for c in url) or ".." in folder.split("/"):
        raise ValueError("neither control characters nor `..` may be in it")
    if parts.scheme == "file":
        if parts.netloc or not folder.startswith("/"):
            raise ValueError("a folder is written with its whole path: file:///srv/exports")
        return Location("file", folder=folder)
    if parts.scheme in ("s3", "gs") and parts.netloc and not parts.username and port is None:
        return Location(parts.scheme, parts.netloc, folder.lstrip("/"))  # type: ignore[arg-type] # one of the two
    if parts.scheme == "sftp" and parts.hostname and parts.username:
        return Location("sftp", parts.hostname, folder, unquote(parts.username), port)
    raise ValueError("write file:///folder, s3://bucket/folder, gs://bucket/folder or sftp://user@host/folder")
