"""The routes of all dialects, from the protocol's google.api.http options and `_UNANNOTATED`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import NamedTuple
from urllib.parse import unquote

from batchwire import v1
from google.api import annotations_pb2
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

from batchwire_server.gateway.dialects import OPENAI, Dialect
from batchwire_server.gateway.errors import ApiError

# A path variable: one segment, or with `=**` the rest of the path.
_VARIABLE = re.compile(r"\{(\w+)(=\*\*)?\}")

# HTTP rules of methods without a google.api.http option: verb, path, and whether there is a body.
# Generators of REST gateways and of OpenAPI documents refuse the option on a client-streaming
# method whose path has a variable.
_UNANNOTATED = {"batchwire.v1.UploadService.AddUploadPart": ("POST", "/v1/uploads/{upload_id}/parts", True)}


class HttpRule(NamedTuple):
    """The HTTP verb and path that call a method, and whether its fields come in a body."""

    method: MethodDescriptor
    verb: str
    path: str
    takes_body: bool


@dataclass(frozen=True, slots=True)
class Route:
    """One HTTP verb and path of one dialect, and the method that it calls."""

    verb: str
    template: str
    takes_body: bool
    method: MethodDescriptor
    dialect: Dialect
    pattern: re.Pattern[str]

    def variables(self, raw_path: str) -> dict[str, str] | None:
        """Return the path variables, or None if the path does not match.

        Each variable is percent-decoded on its own, so an encoded slash does not divide a path.
        """
        match = self.pattern.fullmatch(raw_path)
        return match and {name: unquote(value) for name, value in match.groupdict().items()}


class Routes:
    """The routes of all dialects."""

    def __init__(self, dialects: Sequence[Dialect]) -> None:
        prefixes = [(prefix, each) for each in dialects for prefix in each.url_prefixes]
        self._prefixes = sorted(prefixes, key=lambda pair: len(pair[0]), reverse=True)
        # A variable that matches the rest of a path also matches longer literal paths: it is last.
        self._by_dialect = {
            each.name: sorted(_routes(each), key=lambda route: "=**" in route.template) for each in dialects
        }

    @property
    def all(self) -> list[Route]:
        """All routes, dialect by dialect."""
        return [route for routes in self._by_dialect.values() for route in routes]

    def match(self, verb: str, raw_path: str) -> tuple[Route, dict[str, str]]:
        """Return the route of a request and its path variables. HEAD matches the routes of GET.

        Raises:
            ApiError: no route has this path (404), or none has it with this verb (405).
        """
        route_verb = "GET" if verb == "HEAD" else verb
        routes = self._by_dialect[self.dialect_of(raw_path).name]
        matches = [(route, found) for route in routes if (found := route.variables(raw_path)) is not None]
        for route, variables in matches:
            if route.verb == route_verb:
                return route, variables
        if not matches:
            raise ApiError(404, f"Invalid URL ({verb} {raw_path})")
        allowed = {route.verb for route, _ in matches}
        if "GET" in allowed:
            allowed.add("HEAD")
        raise ApiError(405, f"Not allowed to {verb} on {raw_path}.", headers={"allow": ", ".join(sorted(allowed))})

    def dialect_of(self, raw_path: str) -> Dialect:
        """Return the dialect of a path by the longest prefix. Unknown paths are OpenAI's."""
        found = (each for prefix, each in self._prefixes if f"{raw_path}/".startswith(f"{prefix}/"))
        return next(found, OPENAI)


def services() -> list[ServiceDescriptor]:
    """Return the services of the protocol, found in its generated modules."""
    modules = (each for each in vars(v1).values() if isinstance(each, ModuleType) and hasattr(each, "DESCRIPTOR"))
    return [service for module in modules for service in module.DESCRIPTOR.services_by_name.values()]


def http_rules() -> Iterator[HttpRule]:
    """Yield the HTTP rules of the protocol's methods."""
    for service in services():
        for method in service.methods:
            if method.full_name in _UNANNOTATED:
                yield HttpRule(method, *_UNANNOTATED[method.full_name])
            rule = method.GetOptions().Extensions[annotations_pb2.http]
            for option in (rule, *rule.additional_bindings):
                verb = option.WhichOneof("pattern")
                if verb is not None:
                    yield HttpRule(method, verb.upper(), getattr(option, verb), bool(option.body))


def _routes(dialect: Dialect) -> Iterator[Route]:
    rules = list(http_rules())
    by_method = {rule.method.name: rule for rule in rules}
    for (verb, path), name in dialect.additional_bindings.items():
        rules.append(by_method[name]._replace(verb=verb, path=path))
    for rule in rules:
        template = dialect.path_for(rule.path)
        if template is not None:
            yield Route(rule.verb, template, rule.takes_body, rule.method, dialect, _pattern(template))


def _pattern(template: str) -> re.Pattern[str]:
    """Return the expression that matches a template's undecoded paths.

    A trailing slash is optional, not redirected: redirects lose bodies and credentials.
    """
    expression, end = "", 0
    for variable in _VARIABLE.finditer(template):
        name, rest = variable.groups()
        expression += re.escape(template[end : variable.start()]) + f"(?P<{name}>{'.+?' if rest else '[^/]+'})"
        end = variable.end()
    return re.compile(f"{expression}{re.escape(template[end:])}/?")
