"""The RPC of a daemon is as its OpenAPI description says, whatever is sent: calls are made up from the description."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, status_code_conformance

from cidery.commands.openapi import describe
from cidery.commands.registry import all_commands
from peers.cidery_daemon import CideryDaemon

EXAMPLES = 15
"""Calls of each command: with 170 commands, some forty seconds in all."""
SECONDS = "300ms"
"""Longest time of a call: some commands go on until they are stopped."""
UNSENT = {
    "shutdown": "ends the daemon",
    "config/replace": "could open the daemon to others",
    "config": "so could a value",
    "bootstrap/add": "addresses of anybody",
    "pin/remote/service/add": "addresses of anybody, which would be asked",
    "swarm/connect": "dials what is made up",
    "swarm/peering/add": "dials it again and again",
    "diag/profile": "takes its time on purpose",
}
"""Commands that are not called, and why."""
EMPTY_FOLDER = "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354"


def described() -> dict[str, Any]:
    """The description; arguments may also be what is really there."""
    made = describe()
    known = ["/", "/file", "/new", "/folder", "self", EMPTY_FOLDER, "bafkqaaa", f"/ipfs/{EMPTY_FOLDER}/a", "0644"]
    for path, item in list(made["paths"].items()):
        if path.removeprefix("/api/v0/") in UNSENT:
            del made["paths"][path]
            continue
        for parameter in item["post"]["parameters"]:
            if parameter.get("name") == "arg":
                parameter["schema"]["items"] = {"anyOf": [{"enum": known}, {"type": "string"}]}
    return made


DESCRIBED = described()
VALIDATORS = {
    path: jsonschema_rs.validator_for({**shape["schema"], "components": DESCRIBED["components"]})
    for path, item in DESCRIBED["paths"].items()
    if (shape := item["post"]["responses"]["200"]["content"].get("application/json"))
}
schema = schemathesis.openapi.from_dict(DESCRIBED)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CideryDaemon]:
    folder = tmp_path_factory.mktemp("openapi")
    with CideryDaemon(folder / "node") as node:
        (folder / "file").write_text("content")
        node.run("files", "write", "-e", "/file", str(folder / "file"))
        node.run("files", "mkdir", "/folder")
        yield node


@pytest.fixture(scope="module")
def base(daemon: CideryDaemon) -> str:
    parts = (daemon.repo / "api").read_text().strip().split("/")
    return f"http://127.0.0.1:{parts[parts.index('tcp') + 1]}"


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
    deadline=None,
    derandomize=True,
    database=None,
)
def test_every_answer_is_as_described(case: schemathesis.Case, daemon: CideryDaemon, base: str) -> None:
    case.query = {**(case.query or {}), "timeout": SECONDS}
    logged = len(daemon.log.read_bytes())
    response = case.call(base_url=base)
    case.validate_response(
        response,
        checks=[status_code_conformance, content_type_conformance],
        excluded_checks=[not_a_server_error],  # what a command refuses is 500, as in Kubo
    )
    assert b"Traceback" not in daemon.log.read_bytes()[logged:], daemon.log.read_text()[-3000:]
    kind = response.headers.get("content-type", [""])[0].partition(";")[0]
    if response.status_code == 500:
        message = json.loads(response.content)
        assert message["Message"] and "\n" not in message["Message"]
    elif response.status_code == 200 and kind == "application/json" and case.path in VALIDATORS:
        for line in response.content.splitlines():
            VALIDATORS[case.path].validate(json.loads(line))


def test_the_description_is_valid_and_complete() -> None:
    made = describe()
    jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **made["components"]})
    paths = {"/api/v0/" + "/".join(path) for one in all_commands() if one.over_rpc for path in (one.path, *one.aliases)}
    assert set(made["paths"]) == paths
    references = set(re.findall(r'"#/components/([a-zA-Z]+/[^"]+)"', json.dumps(made)))
    for reference in references:
        kind, name = reference.split("/")
        assert name in made["components"][kind]
    identifiers = [item["post"]["operationId"] for item in made["paths"].values()]
    assert len(identifiers) == len(set(identifiers))


def test_a_daemon_and_the_command_line_print_it(daemon: CideryDaemon) -> None:
    assert json.loads(daemon.run("commands", "openapi")) == describe()


def test_what_is_not_sent_is_there(tmp_path: Path) -> None:
    assert {f"/api/v0/{path}" for path in UNSENT} <= set(describe()["paths"])
