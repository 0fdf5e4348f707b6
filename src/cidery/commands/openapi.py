"""A description of the RPC, from the definitions of the commands.

Spec: https://spec.openapis.org/oas/v3.1.1.html
"""

import types
import typing
from typing import Any, NotRequired, Union, get_args, get_origin, get_type_hints

from cidery.commands.definition import (
    GLOBAL_OPTIONS,
    REMOTE_GLOBALS,
    Argument,
    Command,
    Input,
    Option,
    OptionType,
    Output,
)
from cidery.commands.registry import all_commands
from cidery.light_types import TypedDict
from cidery.version import __version__

Json = dict[str, Any]
_PLAIN: dict[Any, Json] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    type(None): {"type": "null"},
    Any: {},
    object: {},
    dict: {"type": "object"},
    list: {"type": "array"},
}
_OPTIONS: dict[OptionType, Json] = {
    OptionType.BOOL: {"type": "boolean"},
    OptionType.INT: {"type": "integer", "format": "int64"},
    OptionType.TEXT: {"type": "string"},
    OptionType.TEXTS: {"type": "array", "items": {"type": "string"}},
    OptionType.DURATION: {"type": "string", "description": "Go's notation: 30s, 5m, 1h30m"},
}
_ABOUT = """The commands of a Cidery daemon over HTTP, as Kubo's RPC: https://docs.ipfs.tech/reference/kubo/rpc/

Every call is a POST. Arguments are repeated `arg`, options may be given by any of their names, files are the body. A
stream of values is one JSON value a line, and its schema that of a line. An error of a command is **500** with a JSON
object; one after the first byte of an answer comes in the trailer `X-Stream-Error`."""
_ERROR: Json = {
    "type": "object",
    "properties": {
        "Message": {"type": "string", "description": "One line"},
        "Code": {"const": 0},
        "Type": {"const": "error"},
    },
    "required": ["Message", "Code", "Type"],
}
_PROBLEMS = {
    "400": "The call does not fit the command",
    "403": "The caller is not allowed to: another origin, or a secret is missing",
    "405": "Not a POST",
}


def describe() -> Json:
    """The whole description, as JSON. Imports all definitions."""
    schemas: Json = {"Error": _ERROR}
    paths: Json = {}
    for command in all_commands():
        if command.over_rpc:
            for path in (command.path, *command.aliases):
                paths["/api/v0/" + "/".join(path)] = {"post": _operation(command, path, schemas)}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Cidery RPC", "version": __version__, "description": _ABOUT, "license": {"name": "MIT"}},
        "servers": [{"url": "http://127.0.0.1:5001"}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "parameters": {one.name: _option(one) for one in GLOBAL_OPTIONS if one.name in REMOTE_GLOBALS},
            "responses": {status: _plain(text) for status, text in _PROBLEMS.items()},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "basic": {"type": "http", "scheme": "basic"},
            },
        },
        "security": [{}, {"bearer": []}, {"basic": []}],
    }


def _plain(text: str) -> Json:
    return {"description": text, "content": {"text/plain": {"schema": {"type": "string"}}}}


def _operation(command: Command, path: tuple[str, ...], schemas: Json) -> Json:
    own = {name for option in command.options for name in option.names}
    found: Json = {
        "operationId": "-".join(path),
        "summary": command.summary,
        "tags": [path[0]],
        "parameters": [
            *_arguments([one for one in command.arguments if not one.is_file]),
            *(_option(option) for option in command.options if not option.client_only),
            *({"$ref": f"#/components/parameters/{name}"} for name in REMOTE_GLOBALS if name not in own),
        ],
        "responses": {
            "200": _answer(command, schemas),
            **{status: {"$ref": f"#/components/responses/{status}"} for status in _PROBLEMS},
            "500": {
                "description": "The command failed",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
            },
        },
    }
    if command.description:
        found["description"] = command.description
    if command.deprecated:
        found["deprecated"] = True
    if command.file_argument is not None:
        found["requestBody"] = _body(command.file_argument)
    return found


def _arguments(arguments: list[Argument]) -> list[Json]:
    """All as one parameter: positions are those of the definition, and only the last ones may be left out."""
    if not arguments:
        return []
    # what the command line reads from standard input instead cannot be left out here
    least = sum(one.required for one in arguments)
    schema: Json = {"type": "array", "items": {"type": "string"}, "minItems": least}
    if not arguments[-1].variadic:
        schema["maxItems"] = len(arguments)
    about = "; ".join(f"{one.name}: {one.help}" for one in arguments)
    return [{"name": "arg", "in": "query", "description": about, "required": least > 0, "schema": schema}]


def _option(option: Option) -> Json:
    schema = dict(_OPTIONS[option.type])
    if option.choices:
        schema["enum"] = list(option.choices)
    if option.default is not None and option.type is not OptionType.DURATION:
        schema["default"] = list(option.default) if isinstance(option.default, tuple) else option.default
    others = [name for name in option.names if name != option.name]
    about = option.help + (f" (also: {', '.join(others)})" if others else "")
    found: Json = {"name": option.name, "in": "query", "description": about, "schema": schema}
    if option.deprecated:
        found["deprecated"] = True
    return found


def _body(argument: Argument) -> Json:
    about = argument.help
    if argument.input is Input.FILES:
        about += (
            ". Each part is a file, a folder (Content-Type: application/x-directory) or a symlink "
            "(application/symlink); its filename is the path, with percent-encoding"
        )
    file: Json = {"type": "string", "contentMediaType": "application/octet-stream"}
    shape: Json = {"type": "object", "properties": {"file": file}, "required": ["file"], "additionalProperties": False}
    return {"description": about, "required": True, "content": {"multipart/form-data": {"schema": shape}}}


def _answer(command: Command, schemas: Json) -> Json:
    if command.output is Output.BYTES:
        names = [command.media_type, command.other_media_type]
        return {"description": "The bytes", "content": {name: {"schema": {}} for name in names if name}}
    if command.output is Output.NOTHING or command.result is None:
        return {"description": "Done", "content": {"application/json": {"schema": {}}, "text/plain": {"schema": {}}}}
    about = "One value a line" if command.output is Output.STREAM else "The value"
    content: Json = {"application/json": {"schema": _schema(command.result, schemas)}}
    if command.text is not None:
        content["text/plain"] = {"schema": {"type": "string"}}  # with encoding=text
    return {"description": about, "content": content, "x-stream": command.output is Output.STREAM}


def _schema(kind: Any, schemas: Json) -> Json:
    """The schema of a type of ``Command.result``; TypedDicts become components."""
    if kind in _PLAIN:
        return dict(_PLAIN[kind])
    origin, args = get_origin(kind), get_args(kind)
    if origin is NotRequired:
        return _schema(args[0], schemas)
    if origin is list:
        return {"type": "array", "items": _schema(args[0], schemas)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _schema(args[1], schemas)}
    if origin in (Union, types.UnionType):
        return {"anyOf": [_schema(one, schemas) for one in args]}
    if not issubclass(kind, TypedDict):
        raise TypeError(f"a result has the type {kind!r}, which has no schema yet")
    name = kind.__name__
    if name not in schemas:
        schemas[name] = {}  # before its fields, which may hold it
        hints = get_type_hints(kind, localns=vars(typing), include_extras=True)
        schemas[name] = {
            "type": "object",
            "properties": {field: _schema(hint, schemas) for field, hint in hints.items()},
            "required": sorted(field for field, hint in hints.items() if get_origin(hint) is not NotRequired),
            "additionalProperties": False,
        }
    return {"$ref": f"#/components/schemas/{name}"}
