"""Definitions of gateway check and gateway serve."""

from __future__ import annotations

from cidery.commands.definition import (
    BY_COMMAND_LINE,
    Argument,
    Call,
    Command,
    Option,
    OptionType,
    Output,
    Repo,
    Value,
    Where,
    number,
    text,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypedDict
else:
    from cidery.light_types import TypedDict


class PartCount(TypedDict):
    """Checks of one part of the specifications."""

    Part: str
    Passed: int
    Failed: int
    """Of the checks of gateway-conformance."""
    OursPassed: int
    OursFailed: int
    """Of those that Cidery adds."""
    Skipped: int
    """Not made: --specs leaves them out, or what they ask for is not on the gateway."""


class GatewayCheck(TypedDict):
    Type: str
    """"Missing": an archive of the fixtures (Name) is not on the gateway; "Check" or, the last, "Summary"."""
    Part: str
    """Parts of the specifications, joined by "+"."""
    Name: str
    Ours: bool
    """Whether Cidery adds it to gateway-conformance."""
    Passed: bool
    """Of the summary: whether all passed."""
    Request: str
    """As a curl line."""
    Got: str
    Differences: list[str]
    Parts: list[PartCount]
    """Of the summary."""


def _check(value: Value, call: Call) -> str:
    if value["Type"] == "Summary":
        return _table(value["Parts"])
    if value["Type"] == "Missing":
        return f"{value['Name']} is not on this gateway: {value['Differences'][0]}; see --provision\n"
    if value["Passed"]:
        return ""
    added = " (not in gateway-conformance)" if value["Ours"] else ""
    lines = [f"{value['Part']}: {value['Name']}{added}", f"  {value['Request']}"]
    lines += [f"  {difference}" for difference in value["Differences"]]
    return "\n".join([*lines, f"  got {value['Got']}", "", ""])


def _table(parts: list[PartCount]) -> str:
    rows = [("part", ["passed", "failed", "skipped", "added: passed", "failed"])]
    total = [0] * len(rows[0][1])
    for part in parts:
        counts = [part["Passed"], part["Failed"], part["Skipped"], part["OursPassed"], part["OursFailed"]]
        total = [sum(pair) for pair in zip(total, counts, strict=True)]
        rows.append((part["Part"], [str(count or "-") for count in counts]))
    rows.append(("total", [str(count) for count in total]))
    widths = (8, 8, 9, 15, 8)
    return "".join(
        f"{name:<31}{''.join(f'{cell:>{width}}' for cell, width in zip(cells, widths, strict=True))}\n"
        for name, cells in rows
    )


COMMANDS = (
    Command(
        ("gateway", "check"),
        "Check whether an HTTP gateway answers as the specifications say",
        BY_COMMAND_LINE,
        "cidery gateway check http://127.0.0.1:8080 --specs trustless-block-gateway,trustless-car-gateway",
        (Argument("url", "URL of the gateway, without a path", required=False),),
        (
            text("specs", "Parts to check, joined by commas (default: all); -PART leaves one out, as --specs=-PART"),
            text("subdomain-url", "Origin whose subdomains it serves (default: its own, and localhost for 127.0.0.1)"),
            text("provision", "Write the content and the names that a node under test has to hold to this folder"),
        ),
        Output.STREAM,
        result=GatewayCheck,
        text=_check,
        verbatim=True,
        where=Where.CLIENT,
        repo=Repo.NONE,
        waits=True,
        live=True,
        description="Makes the 274 requests of ipfs/gateway-conformance, and some 200 that it leaves out, and shows\n"
        "every answer that differs. The node under test has to hold the fixtures first: see --provision.\n"
        "Nothing is asked of any other host. The exit code is 0 if all passed, 1 if some failed or were\n"
        "skipped because their content is not there, 2 if nothing was checked.",
    ),
    Command(
        ("gateway", "serve"),
        "Serve content over HTTP with several processes, beside the daemon",
        BY_COMMAND_LINE,
        "cidery gateway serve --workers 4 --listen /ip4/0.0.0.0/tcp/8080",
        options=(
            number("workers", "Processes (default: one for each core)", short="w"),
            Option(
                "listen",
                OptionType.TEXTS,
                "Address to listen on, as /ip4/127.0.0.1/tcp/8080 or 127.0.0.1:8080 (default: Addresses.Gateway)",
            ),
            Option("unix", OptionType.TEXTS, "Path of a Unix socket to listen on, without TLS"),
            text(
                "tls-cert",
                "Certificate in PEM, for HTTPS with HTTP/2; read again when it changes (default: Gateway.TLS)",
            ),
            text("tls-key", "Its key, in PEM"),
            text("metrics", "Address of the metrics of all workers, as 127.0.0.1:9100; a daemon has them, too"),
        ),
        aliases=(("gateway",),),
        output=Output.NOTHING,
        where=Where.CLIENT,
        repo=Repo.READ,
        description="The processes read the store themselves: what is stored they serve without the daemon. What is\n"
        "not, they ask of the daemon, if one runs. One that dies is replaced. At SIGTERM or Ctrl-C they\n"
        "accept nothing new, finish what they are sending, and end; a second one ends them at once.\n"
        "`cidery gateway` alone means this. `cidery gateway check URL` tests any gateway.",
    ),
)
