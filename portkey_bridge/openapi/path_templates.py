"""Path templates as documents write them, read as those of OpenAPI (3.2 section 4.8.2): `{name}` and nothing else.

Documents also use the syntax of routers (`{id:int}`, `<int:id>`, `:id`) and RFC 6570 expressions (`{?page}`, `{;x}`).
They are read only if a single pairing of expressions and declared parameters is possible.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote

#: Characters that cannot be part of a name in a template, because they end a segment, the path or an expression.
_UNSAFE = re.compile(r"[/?#{}]")

#: Characters around the name of a variable: operators and modifiers of RFC 6570, marks of routers, blanks.
_AROUND = "+*#/;&?. "

#: Styles that an operator of RFC 6570 stands for (section 3.2.5 and 3.2.7; OpenAPI 3.2 section 4.12.3).
_STYLES = {".": "label", ";": "matrix"}

#: A pattern in parentheses, which may be nested once, as routers write it behind a variable or in a group.
_PATTERN = r"(?:[^()]|\([^()]*\))*\)"

#: Variables of routers that need no braces: of a regular expression, in other brackets, behind a mark, and in braces
#: of which one is missing. A mark begins a segment, or what a delimiter separates in it; a modifier may follow.
_BARE = re.compile(
    rf"\^?\(\?P?<(?P<group>\w+)>{_PATTERN}\$?"
    r"|<(?:(?P<before>\w+)(?:\([^<>]*\))?:)?(?P<angle>\w+)(?::[^<>]*)?>"
    r"|\[+(?:\.{3})?(?P<square>[\w-]+)\]+"
    rf"|(?<=[/.,;=~-])[:$*](?P<mark>\w+)(?P<more>(?:-\w+)*)(?:\({_PATTERN})?(?:[+*]|\?(?=[/.]|$))?"
    r"|(?<=/)\{(?P<begun>[\w-]+)(?=/|$)|(?<=/)(?P<ended>[\w-]+)\}"
)

#: What a language for programs writes before the braces of a variable, which are the whole segment.
_INTERPOLATED = re.compile(r"(?<=/)[$#](?=\{[^{}/]+\}(?:/|$))")

#: A pattern in braces behind a variable without them.
_PATTERN_BEHIND = re.compile(r"(/:\w+)\{[^{}/]*[^\w{}/.-][^{}/]*\}")

#: Several variables in one expression of RFC 6570, and what separates their values.
_SEPARATORS = {"": ",", "+": ",", ".": "", ";": "", "/": ""}

#: Braces that are percent-encoded.
_ENCODED = re.compile(r"%7B([^%/{}]+)%7D", re.IGNORECASE)


@dataclass(frozen=True)
class PathTemplate:
    """A path in OpenAPI's syntax.

    `names` maps each declared name to its variable, `styles` a variable to the style that its operator stands for,
    and `query` has the names of query parameters that the path lists.
    """

    path: str
    names: Mapping[str, str] = field(default_factory=dict)
    styles: Mapping[str, str] = field(default_factory=dict)
    query: tuple[str, ...] = ()


def read_template(path: str, declared: Collection[str]) -> PathTemplate:
    """Read a path whose path parameters are `declared` by these names."""
    plain = _PATTERN_BEHIND.sub(r"\1", _INTERPOLATED.sub("", path))
    with_braces = _ENCODED.sub(lambda match: _if_declared(match, declared), plain)
    pieces = [single for piece in _pieces(with_braces) for single in _singles(*piece, declared)]
    expressions = [text for text, is_expression in pieces if is_expression]
    paired = _pairs(expressions, declared)
    bare = {name for name in declared if name not in paired.values()}
    styles: dict[str, str] = {}
    query: list[str] = []
    written: list[str] = []
    for text, is_expression in pieces:
        if not is_expression:
            written.append(_BARE.sub(lambda match: _braced(match, bare), text))
        elif text[:1] in ("?", "&") and text not in paired:
            query.extend(_listed(text))
        elif text[:1] == "#" and text not in paired:
            continue  # a fragment (RFC 6570 section 3.2.4), which is never sent
        else:
            name = _safe(paired.get(text) or _undeclared(text, declared))
            if text not in declared and text[:1] in _STYLES:
                styles[name] = _STYLES[text[0]]
            segment = "/" if text[:1] == "/" and text not in declared else ""  # RFC 6570 section 3.2.6
            written.append(f"{segment}{{{name}}}")
    names = {name: _safe(name) for name in (*paired.values(), *bare)}
    return PathTemplate("".join(written), names, styles, tuple(query))


def _pieces(path: str) -> Iterator[tuple[str, bool]]:
    """Split a path into literal text and the insides of its expressions, whose braces may be nested."""
    begin = depth = 0
    for at, character in enumerate(path):
        if character == "{":
            if depth == 0 and path.count("}", at):
                yield path[begin:at], False
                begin = at + 1
            depth += 1
        elif character == "}" and depth:
            depth -= 1
            if depth == 0:
                yield path[begin:at], True
                begin = at + 1
    yield path[begin:], False


def _singles(text: str, is_expression: bool, declared: Collection[str]) -> Iterator[tuple[str, bool]]:
    """Yield a piece, or an expression of several declared variables as one for each (RFC 6570 section 3.2.1)."""
    operator = text[:1] if text[:1] in _SEPARATORS else ""
    names = text[len(operator) :].split(",")
    if not is_expression or len(names) == 1 or not all(name in declared for name in names):
        yield text, is_expression
        return
    for index, name in enumerate(names):
        yield (_SEPARATORS[operator] if index else ""), False
        yield operator + name, True


def _pairs(expressions: list[str], declared: Collection[str]) -> dict[str, str]:
    """Return the declared name of each expression that is exactly that name or can mean no other."""
    pairs = {text: text for text in expressions if text in declared}
    left = [name for name in declared if name not in pairs]
    readings = {text: {name for name in left if _is_reading(text, name)} for text in expressions if text not in pairs}
    for text, names in readings.items():
        others = [other for other in readings if other != text and readings[other] & names]
        if len(names) == 1 and not others:
            pairs[text] = next(iter(names))
    return pairs


def _is_reading(text: str, name: str) -> bool:
    bare = unquote(text).strip("{}" + _AROUND) if text.startswith("{") else unquote(text).strip(_AROUND)
    before, _, behind = re.sub(r"[<|(].*", "", bare).partition(":")
    matched, equals, _ = bare.partition("=")  # google.api.http: a variable and what it matches, which may be long
    wanted = unquote(name).strip("{} ")
    readings = (bare, before.strip(_AROUND), behind.strip(_AROUND), *([matched] if equals else []))
    return wanted in readings or _letters(wanted) == _letters(bare) != ""


def _letters(name: str) -> str:
    """Return the letters and digits of a name, which other conventions join differently: `userId`, `user_id`."""
    return "".join(filter(str.isalnum, name)).lower()


def _undeclared(text: str, declared: Collection[str]) -> str:
    """Return the name in an expression that no parameter is declared for."""
    bare, _, pattern = text.strip(_AROUND).partition(":")
    return bare if pattern and re.fullmatch(r"\w+", bare) and bare not in declared else text


def _listed(text: str) -> Iterator[str]:
    """Yield the names in a query expression (RFC 6570 sections 3.2.8 and 3.2.9)."""
    for variable in text[1:].split(","):
        if name := variable.partition(":")[0].strip(_AROUND):
            yield name


def _braced(match: re.Match[str], names: Collection[str]) -> str:
    """Return a variable without braces in braces, if it can mean one name only; else the text as it is."""
    mark, more = match["mark"], match["more"] or ""
    if mark is not None:  # `:user-id` is one variable, or `:user` and a text
        whole = _named(f"{mark}{more}", names)
        if found := whole or _named(mark, names):
            return f"{{{found}}}{'' if whole else more}"
        return match[0]
    named = {found for text in match.groups() if text and (found := _named(text, names))}
    return f"{{{next(iter(named))}}}" if len(named) == 1 else match[0]


def _named(text: str, names: Collection[str]) -> str | None:
    """Return the only name that a text is, or is in another convention."""
    same = [name for name in names if _letters(name) == _letters(text) != ""]
    return text if text in names else same[0] if len(same) == 1 else None


def _if_declared(match: re.Match[str], declared: Collection[str]) -> str:
    return f"{{{match[1]}}}" if match[1] in declared else match[0]


def _safe(name: str) -> str:
    return _UNSAFE.sub("_", name)
