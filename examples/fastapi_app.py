"""A web service that keeps what is uploaded by its CID. The node runs inside the server's event loop.

pip install fastapi uvicorn
uvicorn fastapi_app:app
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import StreamingResponse

import cidery

SECONDS = 20.0
"""How long a visitor waits for the first bytes."""


@asynccontextmanager
async def running(app: FastAPI) -> AsyncIterator[None]:
    async with cidery.Node("example-repo", profile="test") as node:
        app.state.node = node
        yield


app = FastAPI(lifespan=running)


@app.post("/files")
async def add(request: Request) -> dict[str, str]:
    node: cidery.Node = request.app.state.node
    return {"cid": str(await node.add(request.stream()))}  # of any size: it is not collected in memory


@app.get("/files/{path:path}")
async def read(path: str, request: Request) -> StreamingResponse:
    node: cidery.Node = request.app.state.node
    try:
        async with asyncio.timeout(SECONDS):
            root = await node.block.stat(path)  # fetches the first block, and so finds out whether anybody has it
    except cidery.errors.InvalidInput as exc:
        raise HTTPException(400, str(exc)) from exc
    except (cidery.errors.NotFound, TimeoutError) as exc:
        raise HTTPException(404, str(exc) or f"nobody had {path} within {SECONDS:.0f} s") from exc
    return StreamingResponse(node.cat(root.cid), headers={"ETag": f'"{root.cid}"'})
