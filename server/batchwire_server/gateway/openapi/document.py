"""The OpenAPI 3.1 document of the gateway, from the protocol's routes and the dialects' tables."""

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
from batchwire_server.gateway.transcoding.forms import form_layout
from batchwire_server.gateway.web.responses import JsonResponse

# Media types of streamed replies, by handler.
_STREAM_TYPES = {events: "text/event-stream", lines: "application/jsonl"}

_DESCRIPTION = (
    "One API in several dialects: the base URL selects one. A path may end in a slash. "
    "Unknown keys are ignored, and null means unset."
)


def openapi_route(dialects: Sequence[Dialect]) -> WebRoute:
    """Return the route that serves the document."""
    content = document(dialects)

    async def openapi(_: Request) -> Response:
        return JsonResponse(content)

    return WebRoute("/openapi.json", openapi)


def document(dialects: Sequence[Dialect]) -> Schema:
    """Return the document."""
    components: dict[str, Schema] = {}
    schemas = {dialect.name: Schemas(dialect, components) for dialect in dialects}
    paths: dict[str, Schema] = {}
    for route in Routes(dialects).all:
        path = re.sub(r"=\*\*", "", route.template)
        paths.setdefault(path, {})[route.verb.lower()] = _operation(route, schemas[route.dialect.name])
    for dialect in dialects:
        for probe in dialect.probe_paths:
            path_or_none = dialect.path_for(probe)
            if path_or_none is not None:
                paths[path_or_none] = {"get": _probe(dialect)}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Batchwire", "version": "v1", "description": _DESCRIPTION},
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}, {"api-key": []}, {"x-api-key": []}],
        "tags": [{"name": dialect.name} for dialect in dialects],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": dict(sorted(components.items())),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "api-key": {"type": "apiKey", "in": "header", "name": "api-key"},
                "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
        },
    }


def _probe(dialect: Dialect) -> Schema:
    return {"tags": [dialect.name], "security": [], "responses": {"200": {"description": "The gateway is up."}}}


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
        return {route.dialect.file_content_type: {"schema": {"type": "string", "format": "binary"}}}
    if handler in _STREAM_TYPES:
        return {_STREAM_TYPES[handler]: {"schema": {"type": "string"}}}
    return {"application/json": {"schema": schemas.reply(route.method.name, route.method.output_type)}}


def _parameters(route: Route, schemas: Schemas) -> list[Schema]:
    in_path = list(route.pattern.groupindex)
    parameters: list[Schema] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in in_path
    ]
    has_query = not route.takes_body and handler_for(route.method) is not download
    for name, field in fields_of(route.method.input_type).items() if has_query else ():
        if name not in in_path:
            default = route.dialect.request_mapping.defaults.get(route.method.input_type.name, {}).get(name)
            schema = schemas.request_field(field) | ({} if default is None else {"default": default})
            parameters.append({"name": name, "in": "query", "required": False, "schema": schema})
    if route.takes_body and not route.method.client_streaming:
        names = route.dialect.request_mapping.headers
        parameters += [
            {"name": name, "in": "header", "required": False, "schema": {"type": "string"}} for name in names
        ]
    return parameters


def _body(route: Route, schemas: Schemas) -> Schema:
    message = route.method.input_type
    if not route.method.client_streaming:
        return {"application/json": {"schema": schemas.body(message, route.pattern.groupindex)}}
    layout = form_layout(message)
    part = layout.content_part
    form: Schema = {"type": "object", "properties": {part: {"type": "string", "format": "binary"}}, "required": [part]}
    if layout.description is not None:
        description = cast("Descriptor", fields_of(message)[layout.description].message_type)
        form["properties"] |= _form_fields(description, schemas)
        form["required"] += [name for name, each in fields_of(description).items() if is_required(each)]
        form["required"].remove("filename")  # it is a parameter of the content's part
    return {"multipart/form-data": {"schema": form}}


def _form_fields(message: Descriptor, schemas: Schemas) -> dict[str, Any]:
    """Return the schemas of form fields: `field`, or `field[inner]` for fields of messages."""
    properties: dict[str, Any] = {}
    for name, field in fields_of(message).items():
        if field.message_type is None:
            properties[name] = schemas.request_field(field)
        else:
            inner = fields_of(field.message_type).items()
            properties |= {f"{name}[{each}]": schemas.request_field(descriptor) for each, descriptor in inner}
    return properties
