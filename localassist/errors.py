"""Every error that localassist raises on purpose.

LocalAssistError
├── ConfigurationError        a setting cannot be used; says which, what is allowed, what to do
├── MissingDependencyError    an optional library is not installed; carries the command that installs it
├── EgressError               a connection that the settings do not allow
├── IngestionError            a file cannot be indexed; becomes its `last_error`
├── ModelError                a model call failed; becomes the run's `last_error`
│   └── ContextLengthError    the prompt was longer than the model's context
└── APIError                  what the API can express; `server.errors` writes it as the API's error body
    ├── BadRequestError           400
    │   └── NotFoundError         404
    ├── AuthenticationError       401
    ├── PayloadTooLargeError      413
    ├── RateLimitError            429
    ├── InternalServerError       500
    ├── ModelServerError          502
    └── UnavailableError          503
"""

from math import ceil
from typing import ClassVar, Literal

IngestionCode = Literal["server_error", "unsupported_file", "invalid_file"]
ModelCode = Literal["server_error", "rate_limit_exceeded", "invalid_prompt"]


class LocalAssistError(Exception):
    """The root: catch it to catch everything that localassist raises on purpose."""


class ConfigurationError(LocalAssistError):
    """A setting cannot be used."""


class MissingDependencyError(LocalAssistError):
    """An optional library is not installed."""

    def __init__(self, library: str, *, purpose: str, install: str) -> None:
        super().__init__(f"{purpose} needs {library!r}, which is not installed. Install it with: {install}")


class EgressError(LocalAssistError):
    """A connection was refused before its socket was opened, because the settings do not allow its host."""

    def __init__(self, host: str) -> None:
        super().__init__(
            f"Refused to contact {host!r}: localassist contacts only this machine and the hosts that were named. "
            f"To allow it, set LOCALASSIST_ALLOW_HOSTS={host} (or allow_hosts in the settings file), "
            "or name it as --model-base-url."
        )
        self.host = host


class IngestionError(LocalAssistError):
    """A file cannot be indexed.

    `code` is one of the API's three; `message` is what the client reads in `last_error`.
    """

    def __init__(self, message: str, *, code: IngestionCode = "invalid_file") -> None:
        super().__init__(message)
        self.message = message
        self.code: IngestionCode = code


class ModelError(LocalAssistError):
    """A model call failed.

    `message` carries the provider's own words, `retry_after_s` what the provider asked for, `retryable` whether another
    attempt can help.
    """

    def __init__(
        self,
        message: str,
        *,
        code: ModelCode = "server_error",
        retryable: bool = False,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code: ModelCode = code
        self.retryable = retryable
        self.retry_after_s = retry_after_s


class ContextLengthError(ModelError):
    """The prompt was longer than the model's context."""

    def __init__(self, message: str, *, max_tokens: int | None = None) -> None:
        super().__init__(message, code="invalid_prompt")
        self.max_tokens = max_tokens


class APIError(LocalAssistError):
    """An error that the API can express; `server.errors` writes it as the API's error body."""

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    retry_after_s: float | None = None
    """When to ask again, where that is known."""

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code

    def headers(self) -> dict[str, str]:
        """Give the headers that belong to this error."""
        return {} if self.retry_after_s is None else {"retry-after": str(max(1, ceil(self.retry_after_s)))}


class BadRequestError(APIError):
    """The request cannot be carried out as it stands."""

    status = 400
    type = "invalid_request_error"


class NotFoundError(BadRequestError):
    """No object of this kind has this id."""

    status = 404

    def __init__(self, kind: str, object_id: str) -> None:
        if kind == "file":  # the hosted service words this one differently
            super().__init__(f"No such File object: {object_id}", param="id")
        else:
            super().__init__(f"No {kind} found with id '{object_id}'.")


class AuthenticationError(APIError):
    """The bearer key is missing or wrong."""

    status = 401
    type = "invalid_request_error"


class PayloadTooLargeError(BadRequestError):
    """The body is larger than the API allows."""

    status = 413


class InternalServerError(APIError):
    """A fault of localassist itself."""


class RateLimitError(APIError):
    """The model's server is asked too much; the answer says when to come back."""

    status = 429
    type = "rate_limit_error"

    def __init__(self, message: str, *, retry_after_s: float | None = None, retryable: bool = True) -> None:
        super().__init__(message, code="rate_limit_exceeded" if retryable else "insufficient_quota")
        self.retry_after_s = 1.0 if retry_after_s is None else retry_after_s
        self.retryable = retryable

    def headers(self) -> dict[str, str]:
        """Tell the SDK not to try again where a quota is spent."""
        return super().headers() if self.retryable else {"x-should-retry": "false"}


class ModelServerError(APIError):
    """The model's server failed in a way that another attempt will not mend."""

    status = 502

    def headers(self) -> dict[str, str]:
        """Tell the SDK not to try again: it would, for this status."""
        return {**super().headers(), "x-should-retry": "false"}


class UnavailableError(APIError):
    """What the request needs is not there at the moment: another attempt may help."""

    status = 503

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
