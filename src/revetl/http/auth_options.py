"""`auth:` of a connection: one of a closed list, the same for every connector that takes it. Secrets are SecretStr, and
come from the environment as everything in connections.yml that is one."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from revetl.errors import ConfigError
from revetl.http.auth import ClientCertificate
from revetl.http.aws_signature import AwsSignature
from revetl.http.oauth import JWT_BEARER, JwtAssertion, TokenAuth, TokenRequest
from revetl.http.urls import check_url


@dataclass(frozen=True, slots=True)
class AccountAuth:
    """What a session is opened with. `token`: where there is one that expires. `signature`: where each request is
    signed."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    params: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    token: TokenAuth | None = None
    signature: AwsSignature | None = None


class _AuthModel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @property
    def asked_scopes(self) -> tuple[str, ...]:
        return ()


class ApiKeyAuth(_AuthModel):
    """In a header, after `prefix`, or in the query."""

    type: Literal["api_key"]
    value: SecretStr = Field(min_length=1)
    header: str | None = None
    query: str | None = None
    prefix: str = ""

    @model_validator(mode="after")
    def _has_one_place(self) -> Self:
        if (self.header is None) == (self.query is None):
            raise ValueError("an API key goes into a header or into the query: give 'header' or 'query'")
        return self

    def account(self) -> AccountAuth:
        value = self.prefix + self.value.get_secret_value()
        secrets = (self.value.get_secret_value(),)
        if self.header is not None:
            return AccountAuth({self.header: value}, secrets=secrets)
        return AccountAuth(params={str(self.query): value}, secrets=secrets)


class BasicAuth(_AuthModel):
    """RFC 7617. An empty password is one."""

    type: Literal["basic"]
    user: SecretStr = Field(min_length=1)
    password: SecretStr = SecretStr("")

    def account(self) -> AccountAuth:
        pair = f"{self.user.get_secret_value()}:{self.password.get_secret_value()}"
        packed = b64encode(pair.encode()).decode()
        secrets = (packed, self.password.get_secret_value() or self.user.get_secret_value())
        return AccountAuth({"authorization": f"Basic {packed}"}, secrets=secrets)


class BearerAuth(_AuthModel):
    """A token that stays: a personal access token, a service key."""

    type: Literal["bearer"]
    token: SecretStr = Field(min_length=1)

    def account(self) -> AccountAuth:
        token = self.token.get_secret_value()
        return AccountAuth({"authorization": f"Bearer {token}"}, secrets=(token,))


class _OAuth(_AuthModel):
    """`scopes`: the least that the syncs need; `revetl debug` shows them beside those that the token has. `params`:
    what else this vendor wants in the request for a token (`audience`, `resource`)."""

    token_url: str
    client_id: str | None = None
    client_secret: SecretStr | None = None
    client_auth: Literal["basic", "body"] = "basic"
    scopes: tuple[str, ...] = ()
    params: dict[str, str] = {}

    @field_validator("token_url")
    @classmethod
    def _is_an_address(cls, url: str) -> str:
        try:
            return check_url(url, what="token_url")
        except ConfigError as e:
            raise ValueError(str(e)) from None

    @property
    def asked_scopes(self) -> tuple[str, ...]:
        return self.scopes

    def _account(self, form: Mapping[str, str], assertion: JwtAssertion | None = None) -> AccountAuth:
        def whole(now: float) -> Mapping[str, str]:
            return {**form, **self.params} if assertion is None else {**form, "assertion": assertion.sign(now)}

        secret = self.client_secret.get_secret_value() if self.client_secret else None
        wanted = TokenRequest(self.token_url, whole, self.client_id, secret, self.client_auth, self.scopes)
        return AccountAuth(token=TokenAuth(wanted), secrets=(secret,) if secret else ())


class ClientCredentialsAuth(_OAuth):
    """RFC 6749 4.4: the account of an application."""

    type: Literal["oauth_client_credentials"]
    client_id: str = Field(min_length=1)
    client_secret: SecretStr = Field(min_length=1)

    def account(self) -> AccountAuth:
        return self._account({"grant_type": "client_credentials"})


class RefreshTokenAuth(_OAuth):
    """RFC 6749 6. A vendor that gives another refresh token with each access token has to let the first one be used
    again: nothing is kept past the end of the command."""

    type: Literal["oauth_refresh_token"]
    client_id: str = Field(min_length=1)
    refresh_token: SecretStr = Field(min_length=1)

    def account(self) -> AccountAuth:
        return self._account({"grant_type": "refresh_token", "refresh_token": self.refresh_token.get_secret_value()})


class JwtBearerAuth(_OAuth):
    """RFC 7523: an assertion that is signed with a private key of ours. `audience`: the token_url, unless the vendor
    says another."""

    type: Literal["oauth_jwt_bearer"]
    issuer: str = Field(min_length=1)
    subject: str | None = None
    audience: str | None = None
    private_key: SecretStr = Field(min_length=1)
    key_id: str | None = None
    algorithm: Literal["RS256", "ES256"] = "RS256"

    def account(self) -> AccountAuth:
        assertion = JwtAssertion(
            self.issuer,
            self.subject or self.issuer,
            self.audience or self.token_url,
            self.private_key.get_secret_value(),
            self.algorithm,
            self.key_id,
        )
        return self._account({"grant_type": JWT_BEARER, **self.params}, assertion)


class AwsSignatureAuth(_AuthModel):
    """An access key of AWS, with which each request is signed (Signature Version 4): API Gateway, Lambda, OpenSearch.
    `service`: as AWS names it in what is signed. `session_token`: of temporary credentials."""

    type: Literal["aws_signature_v4"]
    access_key_id: SecretStr = Field(min_length=1)
    secret_access_key: SecretStr = Field(min_length=1)
    session_token: SecretStr | None = Field(default=None, min_length=1)
    region: str = Field(pattern=r"^[a-z0-9-]+$")
    service: str = Field(default="execute-api", pattern=r"^[a-z0-9-]+$")

    def account(self) -> AccountAuth:
        secret, token = self.secret_access_key.get_secret_value(), None
        if self.session_token is not None:
            token = self.session_token.get_secret_value()
        signature = AwsSignature(self.access_key_id.get_secret_value(), secret, self.region, self.service, token)
        return AccountAuth(secrets=tuple(filter(None, (secret, token))), signature=signature)


Auth = Annotated[
    ApiKeyAuth | BasicAuth | BearerAuth | ClientCredentialsAuth | RefreshTokenAuth | JwtBearerAuth | AwsSignatureAuth,
    Field(discriminator="type"),
]


class ClientCertificateOptions(BaseModel):
    """mTLS: files in PEM, from the folder in which the command runs. Without `key` it stands in the certificate's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    certificate: Path
    key: Path | None = None
    password: SecretStr | None = None

    def shown(self) -> ClientCertificate:
        return ClientCertificate(
            self.certificate, self.key, self.password.get_secret_value() if self.password else None
        )
