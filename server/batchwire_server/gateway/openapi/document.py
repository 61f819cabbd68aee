"""The REST face as an OpenAPI 3.1 document, made of the protocol's http options and the dialects' tables."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, cast

from google.protobuf.descriptor import Descriptor
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as WebRoute

from batchwire_server.gateway.dialects import Dialect
from batchwire_server.gateway.methods.dispatch import handler_for
from batchwire_server.gateway.methods.downloads import download
from batchwire_server.gateway.methods.streams import events, lines
from batchwire_server.gateway.openapi.schemas import Schema, Schemas, is_required
from batchwire_server.gateway.routes import Route, Routes
from batchwire_server.gateway.transcoding.descriptors import fields_of
from batchwire_server.gateway.transcoding.forms import anatomy
from batchwire_server.gateway.web.responses import JsonResponse

# Media types of the replies that are no JSON.
_STREAMED = {events: "text/event-stream", lines: "application/jsonl"}

_DESCRIPTION = "One API in several dialects: the base URL picks one. A path may end in a slash. Unknown keys are ignored, and null means unset."


def openapi_route(dialects: Sequence[Dialect]) -> WebRoute:
    """The route of the document."""
    made = document(dialects)

    async def openapi(_: Request) -> Response:
        return JsonResponse(made)

    return WebRoute("/openapi.json", openapi)


def document(dialects: Sequence[Dialect]) -> Schema:
    """The document."""
    named: dict[str, Schema] = {}
    schemas = {dialect.name: Schemas(dialect, named) for dialect in dialects}
    paths: dict[str, Schema] = {}
    for route in Routes(dialects).all:
        path = re.sub(r"=\*\*", "", route.template)
        paths.setdefault(path, {})[route.verb.lower()] = _operation(route, schemas[route.dialect.name])
    for dialect in dialects:
        for probe in dialect.probes:
            probed = dialect.spell(probe)
            if probed is not None:
                paths[probed] = {"get": _probe(dialect)}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Batchwire", "version": "v1", "description": _DESCRIPTION},
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}, {"api-key": []}, {"x-api-key": []}],
        "tags": [{"name": dialect.name} for dialect in dialects],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": dict(sorted(named.items())),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "api-key": {"type": "apiKey", "in": "header", "name": "api-key"},
                "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
        },
    }


def _probe(dialect: Dialect) -> Schema:
    return {"tags": [dialect.name], "security": [], "responses": {"200": {"description": "Somebody is there."}}}


def _operation(route: Route, schemas: Schemas) -> Schema:
    operation: Schema = {
        "operationId": f"{route.dialect.name}.{route.method.name}.{route.verb.lower()}",
        "tags": [route.dialect.name],
        "parameters": _parameters(route, schemas),
        "responses": {
            "200": {"description": "OK", "content": _reply(route, schemas)},
            "default": {"description": "An error.", "content": {"application/json": {"schema": schemas.error}}},
        },
    }
    if route.takes_body:
        operation["requestBody"] = {"content": _body(route, schemas)}
    return operation


def _reply(route: Route, schemas: Schemas) -> Schema:
    handler = handler_for(route.method)
    if handler is download:
        return {route.dialect.content_type: {"schema": {"type": "string", "format": "binary"}}}
    if handler in _STREAMED:
        return {_STREAMED[handler]: {"schema": {"type": "string"}}}
    return {"application/json": {"schema": schemas.reply(route.method.name, route.method.output_type)}}


def _parameters(route: Route, schemas: Schemas) -> list[Schema]:
    in_path = list(route.pattern.groupindex)
    found: list[Schema] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in in_path
    ]
    asks = not route.takes_body and handler_for(route.method) is not download
    for name, field in fields_of(route.method.input_type).items() if asks else ():
        if name not in in_path:
            default = route.dialect.reading.defaults.get(route.method.input_type.name, {}).get(name)
            schema = schemas.given(field) | ({} if default is None else {"default": default})
            found.append({"name": name, "in": "query", "required": False, "schema": schema})
    if route.takes_body and not route.method.client_streaming:
        names = route.dialect.reading.headers
        found += [{"name": name, "in": "header", "required": False, "schema": {"type": "string"}} for name in names]
    return found


def _body(route: Route, schemas: Schemas) -> Schema:
    message = route.method.input_type
    if not route.method.client_streaming:
        return {"application/json": {"schema": schemas.body(message, route.pattern.groupindex)}}
    _, describing, part = anatomy(message)
    form: Schema = {"type": "object", "properties": {part: {"type": "string", "format": "binary"}}, "required": [part]}
    if describing is not None:
        described = cast("Descriptor", fields_of(message)[describing].message_type)
        form["properties"] |= _form_fields(described, schemas)
        form["required"] += [name for name, each in fields_of(described).items() if is_required(each)]
        form["required"].remove("filename")  # the content's part has it
    return {"multipart/form-data": {"schema": form}}


def _form_fields(message: Descriptor, schemas: Schemas) -> dict[str, Any]:
    """A message's fields as a form has them: `name`, or `name[part]` for a field of a field."""
    found: dict[str, Any] = {}
    for name, field in fields_of(message).items():
        if field.message_type is None:
            found[name] = schemas.given(field)
        else:
            parts = fields_of(field.message_type).items()
            found |= {f"{name}[{part}]": schemas.given(each) for part, each in parts}
    return found
