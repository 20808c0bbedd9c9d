"""How a vendor knows whose request it is. Secrets stand in the connection, never in a spec."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from revetl.providers.grammar.model import GrammarModel

AuthType = Literal["none", "header", "query", "body", "bearer", "basic", "oauth_client_credentials"]
_NAMED: tuple[AuthType, ...] = ("header", "query", "body")


class Auth(GrammarModel):
    """Where the connection's `api_key` goes, or that there is none.

    none: anybody may ask; header: `name: <prefix><key>`; query: `?name=<key>`; body: `name` at the top of the JSON body
    or of the form; bearer: `Authorization: Bearer <key>`; basic: the key as user name with an empty password.
    oauth_client_credentials (RFC 6749, 4.4): the connection's `client_id` and `client_secret` are exchanged at
    `token_url` for a token that expires; a path is meant under base_url. `client_auth`: how they are sent there.
    """

    type: AuthType
    name: str | None = None
    prefix: str = ""
    token_url: str | None = Field(default=None, pattern=r"^(https?://[^/\s]+)?/[^?#\s]*$")
    client_auth: Literal["basic", "body"] = "basic"
    scopes: tuple[str, ...] = ()

    @property
    def needs(self) -> tuple[str, ...]:
        """The options of the connection without which nothing can be asked."""
        match self.type:
            case "none":
                return ()
            case "oauth_client_credentials":
                return ("client_id", "client_secret")
            case _:
                return ("api_key",)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.type in _NAMED) != (self.name is not None):
            raise ValueError("'name' goes with the types header, query and body, and only with them")
        is_oauth = self.type == "oauth_client_credentials"
        if is_oauth != (self.token_url is not None):
            raise ValueError("'token_url' goes with the type oauth_client_credentials, and only with it")
        if not is_oauth and self.model_fields_set & {"client_auth", "scopes"}:
            raise ValueError("'client_auth' and 'scopes' go with the type oauth_client_credentials only")
        return self
