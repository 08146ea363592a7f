"""The client's end of the v1 wire as the reference speaks it: websockets
(permessage-deflate, messages up to 1 MiB, a ping every 20 s) and httpx (5 s
timeouts, one cookie jar, bodies decompressed).  Unlike the reference, which
spins once an established link is closed, it then ends with exit status 3.

    peer_v1_client.py client TARGET_URL SERVER_URL
"""
import asyncio
import base64
import json
import sys

import httpx
import websockets

METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"}


def message_of(correlation, status=504, headers="", body=b""):
    return json.dumps({
        "correlation_id": correlation, "headers": headers,
        "body": base64.b64encode(body).decode(), "status_code": status,
    }, separators=(",", ":"), ensure_ascii=False)


async def answer(target, request, http):
    correlation = request["correlation_id"]
    try:
        got = await http.request(
            request["method"], "%s/%s" % (target, request["url_path"]),
            headers=json.loads(request["headers"]), params=json.loads(request["url_query"]),
            content=base64.b64decode(request["body"]))
        headers = json.dumps(dict(got.headers), separators=(",", ":"), ensure_ascii=False)
        return message_of(correlation, got.status_code, headers, got.content)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        print("failed: %r" % error, flush=True)
        return message_of(correlation)


async def serve(target, link, http):
    tasks = set()

    async def one(request):
        await link.send(await answer(target, request, http))

    async for text in link:
        request = json.loads(text)
        if request["method"] in METHODS:
            task = asyncio.create_task(one(request))
            tasks.add(task)
            task.add_done_callback(tasks.discard)


async def main(target, url):
    delay = 2
    async with httpx.AsyncClient() as http:
        while True:
            try:
                link = await websockets.connect(url)
                break
            except OSError as error:
                print("cannot connect: %r" % error, flush=True)
                await asyncio.sleep(delay)
                delay = min(delay * 2, 60)
        print("Connected to server.", flush=True)
        try:
            await serve(target, link, http)
        except websockets.ConnectionClosed:
            pass
        print("closed: %s %s" % (link.close_code, link.close_reason), flush=True)
    return 3


if sys.argv[1] != "client" or len(sys.argv) != 4:
    sys.exit(2)
sys.exit(asyncio.run(main(sys.argv[2], sys.argv[3])))
