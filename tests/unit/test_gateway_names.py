"""How answers of the trustless gateway are named, and what a reader gets that takes any type."""

import pytest

import cidery
from cidery.gateway.options import OVER_STREAMS
from cidery.gateway.site import Site
from cidery.http.message import Request, Response
from shell import Shell


async def ask(node: cidery.Node, target: str, accept: str = "") -> Response:
    response = await Site(node.api, OVER_STREAMS).handle(Request("GET", target, {"accept": accept}))
    if not isinstance(response.body, bytes):
        await response.body.aclose()
    return response


@pytest.mark.parametrize(
    ("wanted", "shown"),
    [
        ("foobar.bin", 'attachment; filename="foobar.bin"'),
        (
            "test%D1%82%D0%B5%D1%81%D1%82.bin",
            "attachment; filename=\"test____.bin\"; filename*=UTF-8''test%D1%82%D0%B5%D1%81%D1%82.bin",
        ),
        ("a%20b.car", 'attachment; filename="a b.car"'),
        ("a%22%0D%0AX:%20b", "attachment; filename=\"a___X: b\"; filename*=UTF-8''a%22%0D%0AX%3A%20b"),
        ("..%2Fx", "attachment; filename=\".._x\"; filename*=UTF-8''..%2Fx"),
        ("%FF", "attachment; filename=\"_\"; filename*=UTF-8''%EF%BF%BD"),
        ("", 'attachment; filename="bafkqaaa.{}"'),
    ],
)
@pytest.mark.parametrize(("form", "ending"), [("raw", "bin"), ("car", "car")])
async def test_an_answer_is_saved_under_the_name_that_was_asked_for(
    node: cidery.Node, wanted: str, shown: str, form: str, ending: str
) -> None:
    answer = await ask(node, f"/ipfs/bafkqaaa?format={form}&filename={wanted}")
    assert answer.headers["Content-Disposition"] == shown.format(ending)


async def test_a_record_of_a_name_is_saved_under_the_name_that_was_asked_for(node: cidery.Node) -> None:
    cid = await node.add(b"bytes")
    name = (await Shell(node.api).run(f"name publish -Q --allow-offline /ipfs/{cid}")).strip()
    answer = await ask(node, f"/ipns/{name}?format=ipns-record&filename=mine")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="mine"'


@pytest.mark.parametrize(
    ("target", "accept", "location"),
    [
        ("/ipfs/bafkqaaa", "application/vnd.ipld.raw", "/ipfs/bafkqaaa?format=raw"),
        ("/ipfs/bafkqaaa?filename=%C3%A9", "application/vnd.ipld.raw", "/ipfs/bafkqaaa?filename=%C3%A9&format=raw"),
        ("/ipfs/bafkqaaa", "application/vnd.ipld.car", "/ipfs/bafkqaaa?format=car"),
        (
            "/ipfs/bafkqaaa?dag-scope=block&car-dups=n",
            "application/vnd.ipld.car; version=1; order=dfs; dups=y",
            "/ipfs/bafkqaaa?dag-scope=block&car-dups=n&format=car&car-version=1&car-order=dfs",
        ),
        ("/ipfs/bafkqaaa?format=raw", "application/vnd.ipld.raw", None),
        ("/ipfs/bafkqaaa?format=raw", "", None),
    ],
)
async def test_a_form_that_came_from_accept_has_an_address_of_its_own(
    node: cidery.Node, target: str, accept: str, location: str | None
) -> None:
    assert (await ask(node, target, accept)).headers.get("Content-Location") == location


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("*/*", 200),
        ("application/*, text/plain", 200),
        ("text/html, */*;q=0.8", 406),
        ("text/plain", 406),
        ("", 406),
    ],
)
async def test_who_takes_anything_gets_the_block(node: cidery.Node, accept: str, status: int) -> None:
    answer = await ask(node, "/ipfs/bafkqaaa", accept)
    assert answer.status == status
    assert status != 200 or answer.headers["Content-Type"] == "application/vnd.ipld.raw"
