"""A handler that is made at its first request."""

import pytest

from cidery.http.late_handler import Handler, made_when_asked
from cidery.http.message import Request, Response, text


async def test_it_is_made_once_and_answers_all_requests() -> None:
    made = []

    def make() -> Handler:
        async def answer(request: Request) -> Response:
            return text(200, request.target)

        made.append(answer)
        return answer

    handle = made_when_asked(make)
    assert not made
    for target in ("/a", "/b"):
        assert (await handle(Request("GET", target))).body == f"{target}\n".encode()
    assert len(made) == 1


async def test_what_making_raises_is_heard_and_the_next_request_tries_again() -> None:
    def make() -> Handler:
        raise ValueError("not yet")

    handle = made_when_asked(make)
    for _ in range(2):
        with pytest.raises(ValueError, match="not yet"):
            await handle(Request("GET", "/"))
