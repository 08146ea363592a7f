"""The server's end of the v1 wire as the reference speaks it: FastAPI and
uvicorn, permessage-deflate, messages up to 16 MiB, a ping every 20 s.

    peer_v1_server.py server --host H --port N

With PEER_OLDER it is as it was while tokens had sub and exp alone.  "callers":
they are asked for one, as a bearer; a client takes its id from the path, /ID, and
needs none.  "path": clients dial /ID?token=, for that id, and callers need none.
"root": clients dial /?token=.
"""
import argparse
import asyncio
import base64
import json
import os
import uuid

import fastapi
import jwt
import uvicorn

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"]
BODY_LIMIT = int(os.environ.get("PIPEGATE_MAX_BODY_BYTES", "10485760"))
QUEUE_LIMIT = int(os.environ.get("PIPEGATE_MAX_QUEUE_DEPTH", "100"))
WAIT_S = 300
OLDER = os.environ.get("PEER_OLDER")

app = fastapi.FastAPI()
queues = {}
waiting = {}


def subject(token):
    secret = os.environ["PIPEGATE_JWT_SECRET"]
    if OLDER:  # PyJWT then refuses a token that has an audience
        return jwt.decode(token, secret, algorithms=["HS256"], options={"require": ["sub", "exp"]})["sub"]
    claims = jwt.decode(
        token, secret, algorithms=["HS256"],
        audience="pipegate", issuer="pipegate",
        options={"require": ["sub", "exp", "nbf", "iat", "iss", "aud", "jti"]})
    return claims["sub"]


def caller_may(name, authorization):
    scheme, _, token = authorization.partition(" ")
    try:
        if scheme != "Bearer" or subject(token) != name:
            raise fastapi.HTTPException(403, "Forbidden")
    except jwt.PyJWTError as error:
        raise fastapi.HTTPException(401, str(error))


def queue_of(name):
    return queues.setdefault(name, asyncio.Queue(QUEUE_LIMIT))


def compact(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


async def message_of(request, path, correlation):
    body = await request.body()
    if len(body) > BODY_LIMIT:
        raise fastapi.HTTPException(413, "Request body exceeds limit of %d bytes" % BODY_LIMIT)
    headers = {}
    for name, value in request.headers.items():
        headers.setdefault(name, value)
    headers["x-pipegate-correlation-id"] = correlation.hex
    return compact({
        "correlation_id": str(correlation), "url_path": path,
        "url_query": compact([list(p) for p in request.query_params.multi_items()]),
        "method": request.method, "headers": compact(headers),
        "body": base64.b64encode(body).decode()})


@app.get("/healthz")
async def health():
    return {"status": "ok"}


@app.api_route("/{name}/{path:path}", methods=METHODS)
async def pass_on(name: str, path: str, request: fastapi.Request):
    if OLDER == "callers":
        caller_may(name, request.headers.get("authorization", ""))
    correlation = uuid.uuid4()
    message = await message_of(request, path, correlation)
    answer = waiting[correlation] = asyncio.get_running_loop().create_future()
    try:
        queue_of(name).put_nowait(message)
        got = await asyncio.wait_for(answer, WAIT_S)
    except asyncio.QueueFull:
        raise fastapi.HTTPException(503, "Queue full")
    except asyncio.TimeoutError:
        raise fastapi.HTTPException(504, "Gateway Timeout")
    finally:
        waiting.pop(correlation, None)
    return fastapi.Response(
        base64.b64decode(got["body"]), got["status_code"],
        json.loads(got["headers"]) if got["headers"] else {})


async def hear(socket):
    while True:
        got = json.loads(await socket.receive_text())
        answer = waiting.get(uuid.UUID(got["correlation_id"]))
        if answer is not None and not answer.done():
            answer.set_result(got)


async def speak(socket, queue):
    while True:
        await socket.send_text(await queue.get())


async def root_link(socket: fastapi.WebSocket):
    try:
        name = subject(socket.query_params.get("token", ""))
    except jwt.PyJWTError:
        await socket.close(1008)
        return
    await serve(socket, name)


async def path_link(socket: fastapi.WebSocket, name: str):
    try:
        may = OLDER == "callers" or subject(socket.query_params.get("token", "")) == name
    except jwt.PyJWTError:
        may = False
    await (serve(socket, name) if may else socket.close(1008))


if OLDER in ("callers", "path"):
    app.add_api_websocket_route("/{name}", path_link)
else:
    app.add_api_websocket_route("/", root_link)


async def serve(socket, name):
    await socket.accept()
    tasks = [asyncio.create_task(hear(socket)), asyncio.create_task(speak(socket, queue_of(name)))]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("command", choices=["server"])
    options.add_argument("--host", default="0.0.0.0")
    options.add_argument("--port", type=int, default=8000)
    chosen = options.parse_args()
    uvicorn.run(app, host=chosen.host, port=chosen.port)


main()
