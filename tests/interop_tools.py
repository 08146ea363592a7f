"""Other people's programs: curl, Python's and Node's WebSocket libraries,
PyJWT, and valgrind over a short run."""
import json
import os
import sys

import harness
from harness import scenario, equal, check, contains, pattern, token, SECRET

NODE_WS = os.path.join(harness.NODE_MODULES, "ws")
VALGRIND = ("valgrind", "--quiet", "--error-exitcode=99", "--leak-check=full", "--track-fds=no",
            "--errors-for-leak-kinds=definite,possible")


def curl(t, *args, status="200"):
    done = t.spawn(["curl", "-sS", "-o", os.path.join(t.folder, "got"), "-w", "%{http_code}"] + list(args))
    equal(done.wait_exit(30), 0, "curl %s: %s" % (args, done.err()))
    equal(done.out(), status, "status of curl %s" % (args,))
    with open(os.path.join(t.folder, "got"), "rb") as f:
        return f.read()


@scenario(needs=("curl",))
def everyday_curl(t):
    """curl gets, posts, uploads in chunks, asks for heads, continues after 100, with 1.0 and 1.1."""
    origin, server, _ = t.trio()
    base = "http://127.0.0.1:%d/demo" % server.port
    path = os.path.join(t.folder, "body")
    with open(path, "wb") as f:
        f.write(pattern(2000000))
    equal(json.loads(curl(t, base + "/echo?x=1"))["target"], "/echo?x=1", "GET")
    check(curl(t, "--data-binary", "@" + path, base + "/raw") == pattern(2000000), "POST")
    check(curl(t, "-T", path, "-H", "Transfer-Encoding: chunked", base + "/raw") == pattern(2000000), "chunked PUT")
    check(curl(t, "-H", "Expect: 100-continue", "--data-binary", "@" + path, base + "/expect") == pattern(2000000), "Expect")
    check(curl(t, "-0", base + "/chunked/100000") == pattern(100000), "1.0")
    done = t.spawn(["curl", "-sSI", base + "/head"])
    equal(done.wait_exit(20), 0, "curl -I")
    contains(done.out().lower(), "content-length: 4711", "HEAD")
    equal(json.loads(curl(t, "-L", base))["target"], "/", "redirect of /demo")


@scenario(needs=("py:jwt",))
def tokens_of_pyjwt(t):
    """PyJWT reads our tokens, and its own open our server."""
    import jwt
    text = t.run("token", "-c", "demo").out().split()[-1]
    claims = jwt.decode(text, SECRET, algorithms=["HS256"], audience="pipegate", issuer="pipegate",
                        options={"require": ["sub", "exp", "nbf", "iat", "iss", "aud", "jti"]})
    equal(claims["sub"], "demo", "sub")
    origin, server = t.origin(), t.server()
    t.client(server, origin, env={"PIPEGATE_TOKEN": jwt.encode(harness.claims(), SECRET, "HS256")})


def node(t, script, *args):
    path = os.path.join(t.folder, "peer.js")
    with open(path, "w") as f:
        f.write("const WebSocket = require(%s);\n%s" % (json.dumps(NODE_WS), script))
    return t.spawn(["node", path] + list(args))


NODE_CLIENT = """
const link = new WebSocket(process.argv[2]);
link.on('open', () => console.log('open [' + link.extensions + ']'));
link.on('message', (data) => {
  const request = JSON.parse(data);
  link.send(JSON.stringify({correlation_id: request.correlation_id, headers: '{"x-by":"node"}',
    body: Buffer.from(request.method + ' ' + request.url_path).toString('base64'), status_code: 200}));
});
link.on('close', (code, reason) => { console.log('closed ' + code + ' ' + reason); });
link.on('error', (error) => { console.log('error ' + error.message); });
"""
NODE_SERVER = """
const server = new WebSocket.Server({port: 0, host: '127.0.0.1', handleProtocols: () => false},
  () => console.log('port ' + server.address().port));
server.on('connection', (link) => {
  link.on('message', (data) => console.log('answer ' + data));
  link.send(JSON.stringify({correlation_id: '00000000-0000-4000-8000-000000000001', url_path: 'status/201',
    url_query: '[]', method: 'GET', headers: '{}', body: ''}));
  link.ping('are you there');
  link.on('pong', (data) => console.log('pong ' + data));
});
"""


@scenario(needs=("node", "npm:ws"))
def node_as_tunnel_client(t):
    """Node's ws library, which offers permessage-deflate, serves as a v1 client without it."""
    server = t.server()
    peer = node(t, NODE_CLIENT, server.url + "?token=" + token())
    peer.wait_out("open []", 20)
    answer = t.get(server, "/demo/a/b")
    equal((answer.body, answer.get("x-by")), (b"GET a/b", "node"), "answer")
    equal(server.terminate(), 0, "exit of the server")
    peer.wait_out("closed 1001")


@scenario(needs=("node", "npm:ws"))
def node_as_tunnel_server(t):
    """Our client serves a ws server: the request is answered, the ping echoed."""
    origin = t.origin()
    peer = node(t, NODE_SERVER)
    port = int(peer.wait_out("\n", 20).split()[1])
    t.client("ws://127.0.0.1:%d/" % port, origin, ready=False)
    peer.wait_out("pong are you there")
    line = [x for x in peer.wait_out("answer ").split("\n") if x.startswith("answer ")][0]
    equal(json.loads(line[7:])["status_code"], 201, "answer")


@scenario(needs=("py:websockets",))
def a_websocket_application(t):
    """Python's websockets talks with an echo server of its own through the tunnel, large messages too."""
    script = os.path.join(t.folder, "echo.py")
    with open(script, "w") as f:
        f.write("import asyncio, websockets\n"
                "async def echo(ws):\n    async for m in ws: await ws.send(m)\n"
                "async def main():\n    async with websockets.serve(echo, '127.0.0.1', 0) as s:\n"
                "        print(s.sockets[0].getsockname()[1], flush=True)\n        await asyncio.Future()\n"
                "asyncio.run(main())\n")
    echo = t.spawn([sys.executable, script], name="echo")
    port = int(echo.wait_out("\n", 20))
    server = t.server()
    t.client(server, "http://127.0.0.1:%d" % port)
    code = ("import asyncio, websockets\n"
            "async def main():\n    async with websockets.connect('ws://127.0.0.1:%d/demo/chat') as ws:\n"
            "        for m in ('hi', b'\\0' * 500000, 'x' * 70000):\n"
            "            await ws.send(m); assert await ws.recv() == m\n"
            "        await ws.ping()\n    print(ws.close_code)\nasyncio.run(main())\n" % server.port)
    done = t.spawn([sys.executable, "-c", code], name="caller")
    equal(done.wait_exit(30), 0, "exit of the caller: " + done.err())
    equal(done.out(), "1000\n", "close code")


@scenario(needs=("valgrind",))
def valgrind_finds_nothing(t):
    """A short run of everything under valgrind: no invalid access, no leak, exit 0."""
    if "san" in os.path.basename(harness.BINARY):
        raise harness.Skipped("not with the sanitizers' binary")
    origin = t.origin()
    server = t.server(under=VALGRIND)
    client = t.client(server, origin, under=VALGRIND, ready=False)
    client.wait_out("/demo/", 60)
    conn = t.conn(server)
    for path in ("/echo", "/size/300000", "/chunked/70000", "/204", "/1xx", "/cookies", "/short"):
        t.conn(server).send_quietly(harness.request_octets("GET", "/demo" + path, [("Connection", "close")])).rest(60)
    equal(conn.request("POST", "/demo/raw", body=pattern(200000), seconds=60).status, 200, "POST")
    gone = harness.ask(t, server, "/demo/never")
    origin.wait_seen("/never", seconds=30)
    gone.abort()
    old = t.tunnel(server, sub="old", v2=False)
    waiting = harness.ask(t, server, "/old/x")
    old.send_answer_v1(old.recv_json(30)["correlation_id"], body=pattern(100000))
    equal(waiting.answer(seconds=30).status, 200, "v1")
    t.tunnel(server, target="/?token=x").wait_close(1008, 30)
    equal(t.conn(server).send(b"bad\r\n\r\n").answer(seconds=30).status, 400, "bad request")
    for process in (client, server):
        equal(process.terminate(seconds=60), 0, "exit of %s: %s" % (process.name, process.err()[-3000:]))
    for args in (("token",), ("--help",), ("token", "-c", "..")):
        done = t.spawn(list(VALGRIND) + [harness.BINARY] + list(args))
        check(done.wait_exit(60) != 99, "%s: %s" % (args, done.err()))
