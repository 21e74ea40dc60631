"""What can go wrong, and who can fix it.

BridgeError
├── SetupError            said on stderr by the command line, exit status 2
│   ├── SettingsError     an option or a variable
│   │   └── MissingExtra  an option needs a package that is not installed
│   ├── ClientFileError   the configuration file of an MCP client
│   └── DocumentError     the OpenAPI document
│       └── DanglingReference  a `$ref` that leads nowhere: costs the operations that use it
└── CallError             said to the model, as a result with `isError`
    ├── ArgumentsError    arguments that the operation does not take
    ├── CredentialsError  an operation that needs a credential, and none is set
    ├── TokenError        a token could not be obtained
    │   └── LoginRequired the caller has to log in to the API first
    ├── NoServerError     no URL to send the request to
    └── TransportError    the API could not be reached, or broke off
"""

from __future__ import annotations

import difflib
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass

from portkey_bridge.text import shown_reference


class BridgeError(Exception):
    """Anything that this program reports as a message, without a traceback."""


class SetupError(BridgeError):
    """The server cannot start as it is set up."""


class SettingsError(SetupError):
    """An option or an environment variable has a value that cannot be used."""


class MissingExtra(SettingsError):
    """Something that was asked for needs a package that is not installed, and that an extra of this program brings."""

    def __init__(self, purpose: str, package: str, extra: str) -> None:
        super().__init__(
            f"{purpose} needs {package}, which is not installed. Install portkey-bridge[{extra}], for example by "
            f"`uv tool install 'portkey-bridge[{extra}]'`."
        )


class ClientFileError(SetupError):
    """The configuration file of an MCP client cannot be read, edited or written. It is left as it is."""


class DocumentError(SetupError):
    """The OpenAPI document cannot be read or served.

    Fields: `source` as the person named it, `problem`, `remedy`, and where the parser told it `line` and
    `column`, both from 1.
    """

    def __init__(
        self, source: str, problem: str, remedy: str, *, line: int | None = None, column: int | None = None
    ) -> None:
        self.source = source
        self.problem = problem
        self.remedy = remedy
        self.line = line
        self.column = column
        place = "".join(f":{number}" for number in (line, column) if number is not None)
        super().__init__(f"{source}{place}: {problem}. {remedy}")


class DanglingReference(DocumentError):
    """A `$ref` names something that does not exist, or only itself."""

    def __init__(self, reference: str, problem: str) -> None:
        super().__init__(shown_reference(reference), problem, "Correct the $ref, or add its target.")


class CallError(BridgeError):
    """A call failed, and the message says what the caller can do about it."""


class Unwritable(ValueError):
    """A value cannot be written where it goes; `path` leads to it inside the value that was to be written.

    The request turns it into an ArgumentsError, which knows the argument.
    """

    def __init__(self, path: Sequence[str | int], problem: str) -> None:
        self.path = tuple(path)
        self.problem = problem
        super().__init__(problem)


def likely(name: str, known: Collection[str]) -> str:
    """Report which of the known names an unknown one was meant to be, or else which there are."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else f"known are {', '.join([*known][:40]) or 'none'}"


@dataclass(frozen=True)
class Violation:
    """One thing that is wrong with the arguments: where (a JSON pointer), and what would be right."""

    pointer: str
    problem: str

    def __str__(self) -> str:
        return f"{self.pointer or '(arguments)'}: {self.problem}"


#: Violations that the message of an error contains; the rest are counted.
MAX_SHOWN_VIOLATIONS = 100


class ArgumentsError(CallError):
    """The arguments break the operation's schema. Nothing was sent; `advice` is added behind them."""

    def __init__(self, tool: str, violations: Sequence[Violation], advice: str = "") -> None:
        self.tool = tool
        self.violations = tuple(violations)
        lines = "\n".join(f"- {violation}" for violation in self.violations[:MAX_SHOWN_VIOLATIONS])
        if (more := len(self.violations) - MAX_SHOWN_VIOLATIONS) > 0:
            lines += f"\n- and {more:,} more"
        super().__init__(f"Nothing was sent: {tool} does not take these arguments.\n{lines} {advice}".rstrip())


class CredentialsError(CallError):
    """The operation needs a credential, and none can be used.

    `alternatives` are the variables that are taken together, `reasons` say which are set and still not used. Without a
    `configuration`, the caller is not the one who can set them.
    """

    def __init__(
        self,
        operation: str,
        alternatives: Sequence[Sequence[str]],
        reasons: Sequence[str],
        configuration: str | None,
        note: str = "",
    ) -> None:
        self.operation = operation
        self.alternatives = tuple(map(tuple, alternatives))
        self.reasons = tuple(reasons)
        self.configuration = configuration
        ways = "\n".join(f"- {' and '.join(variables)}" for variables in self.alternatives)
        unused = "".join(f"- {reason}.\n" for reason in reasons)
        asked = (
            "Set the environment variables on one of these lines and start portkey-bridge again"
            if configuration
            else "Whoever runs this server can set the environment variables on one of these lines, and start it again"
        )
        example = f"For example, in the client's configuration:\n{configuration}\n" if configuration else ""
        super().__init__(
            f"Nothing was sent: {operation} needs a credential and "
            + (f"none can be used.\n{unused}" if unused else "none is set. ")
            + f"{asked}:\n{ways}\n{example}{note}".rstrip()
        )

    def also(self, alternatives: Sequence[Sequence[str]], reasons: Sequence[str], note: str) -> CredentialsError:
        """Return the error with more alternatives and reasons, and a note below."""
        ways, why = [*self.alternatives, *alternatives], [*self.reasons, *reasons]
        return CredentialsError(self.operation, ways, why, self.configuration, note)


class TokenError(CallError):
    """A token could not be obtained, or does not permit the operation. The request of the call was not sent."""


class LoginRequired(TokenError):
    """The caller has no login to the API that can be used.

    `url` is where the caller logs in, in a browser, and `is_done` checks whether that has happened.
    """

    def __init__(self, api: str, url: str, is_done: Callable[[], Awaitable[bool]]) -> None:
        self.url, self.is_done = url, is_done
        self.invitation = f"Log in to {api} with your own account, so that its tools can be called in your name."
        super().__init__(
            f"Nothing was sent: you are not logged in to {api}. Open {url} in a browser, log in there with your own "
            "account, and then call the tool again."
        )


class NoServerError(CallError):
    """Neither the document nor the settings say where to send the request."""


class TransportError(CallError):
    """The request got no complete answer."""
