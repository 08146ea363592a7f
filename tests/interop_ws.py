"""WebSocket applications behind the tunnel: Node's ws and Python's websockets,
each as the application and as the browser's side."""
import os
import sys

import harness
from harness import scenario, equal, check

NODE_WS = os.path.join(harness.NODE_MODULES, "ws")

# Each application echoes messages, chooses the subprotocol "chat" and counts
# what pings it gets; it prints its port.  Each browser sends texts and binary
# messages up to 1 MiB, wants them back, pings, and prints "all well" last.
# argv: the port, or the URL and for how many seconds to say nothing at first.
NODE_APP = """
const WebSocket = require(process.env.NODE_WS);
const server = new WebSocket.Server({port: 0, host: '127.0.0.1', perMessageDeflate: true, maxPayload: 1 << 25,
  handleProtocols: (offered) => offered.has('chat') ? 'chat' : false},
  () => console.log(server.address().port));
server.on('connection', (ws, request) => {
  ws.send('hello ' + request.url + ' [' + ws.protocol + '] [' + ws.extensions + ']');
  ws.on('message', (data, binary) => ws.send(data, {binary}));
  ws.on('close', (code, reason) => console.log('closed ' + code + ' ' + reason));
  ws.ping('of the application');
});
"""

NODE_BROWSER = """
const WebSocket = require(process.env.NODE_WS);
const [url, quiet] = process.argv.slice(2);
const ws = new WebSocket(url, ['other', 'chat'], {maxPayload: 1 << 25});
const sizes = [0, 1, 125, 126, 65535, 65536, 1 << 20, 1 << 20];
const sent = sizes.map((n, i) => i % 2 ? 'x'.repeat(n) : Buffer.alloc(n, i + 1));
let got = 0, pongs = 0, pings = 0;
ws.on('ping', () => { pings++; });
ws.on('pong', (data) => { if (String(data) === 'of the browser') pongs++; });
ws.on('message', (data, binary) => {
  if (got++ === 0) {
    console.log(String(data));
    setTimeout(() => { ws.ping('of the browser'); sent.forEach((m) => ws.send(m)); }, quiet * 1000);
    return;
  }
  const want = sent[got - 2];
  if (binary !== Buffer.isBuffer(want) || !data.equals(Buffer.from(want))) throw new Error('message ' + got);
  if (got === sent.length + 1) ws.close(4001, 'enough');
});
ws.on('close', (code, reason) => {
  if (code === 4001 && got === sent.length + 1 && pongs === 1 && pings >= 1) console.log('all well');
});
"""

PYTHON_APP = """
import asyncio, websockets
async def echo(ws):
    path = ws.request.path
    names = ', '.join(e.name for e in ws.protocol.extensions)
    await ws.send('hello %s [%s] [%s]' % (path, ws.subprotocol, names))
    await (await ws.ping(b'of the application'))
    try:
        async for message in ws:
            await ws.send(message)
    finally:
        print('closed', ws.close_code, ws.close_reason, flush=True)
async def main():
    async with websockets.serve(echo, '127.0.0.1', 0, subprotocols=['chat'], max_size=1 << 25,
                                ping_interval=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.Future()
asyncio.run(main())
"""

PYTHON_BROWSER = """
import asyncio, sys, websockets
async def main(url, quiet):
    async with websockets.connect(url, subprotocols=['other', 'chat'], max_size=1 << 25,
                                  ping_interval=None) as ws:
        print(await ws.recv(), flush=True)
        await asyncio.sleep(float(quiet))
        await (await ws.ping(b'of the browser'))
        sizes = [0, 1, 125, 126, 65535, 65536, 1 << 20, 1 << 20]
        sent = ['x' * n if i % 2 else bytes([i + 1]) * n for i, n in enumerate(sizes)]
        async def send():
            for message in sent:
                await ws.send(message)
        sending = asyncio.create_task(send())
        for message in sent:
            assert await ws.recv() == message
        await sending
        await ws.close(4001, 'enough')
    assert ws.close_code == 4001, ws.close_code
    print('all well')
asyncio.run(main(*sys.argv[1:]))
"""


def program(t, kind, script, *args):
    """kind: "node" or "python"."""
    path = os.path.join(t.folder, "%d-%s" % (len(t.processes), kind))
    with open(path, "w") as f:
        f.write(script)
    command = "node" if kind == "node" else sys.executable
    return t.spawn([command, path] + list(args), env={"NODE_WS": NODE_WS}, name=kind)


SCRIPTS = {"node": (NODE_APP, NODE_BROWSER), "python": (PYTHON_APP, PYTHON_BROWSER)}


def converse(t, app_kind, browser_kind, quiet=0):
    app = program(t, app_kind, SCRIPTS[app_kind][0])
    port = int(app.wait_out("\n", 20))
    server = t.server()
    client = t.client(server, "http://127.0.0.1:%d" % port)
    url = "ws://127.0.0.1:%d/demo/chat/room?who=me" % server.port
    browser = program(t, browser_kind, SCRIPTS[browser_kind][1], url, str(quiet))
    equal(browser.wait_exit(60 + quiet), 0, "exit of the browser's side: " + browser.err()[-1500:])
    lines = browser.out().split("\n")
    equal(lines[0], "hello /chat/room?who=me [chat] [permessage-deflate]", "what the application saw")
    equal(lines[1], "all well", "last word of the browser's side")
    app.wait_out("closed 4001 enough")
    if "san" not in os.path.basename(harness.BINARY):
        for process in (server, client):
            check(process.status_kb("VmHWM") < 24 * 1024, "%s grew" % process.name)


@scenario(needs=("node", "npm:ws"))
def node_and_node(t):
    """Node's ws on both sides: path, subprotocol, extension, texts and binary to 1 MiB, pings both ways, the close code."""
    converse(t, "node", "node")


@scenario(needs=("py:websockets",))
def python_and_python(t):
    """Python's websockets on both sides, the same."""
    converse(t, "python", "python")


@scenario(needs=("node", "npm:ws", "py:websockets"))
def node_behind_python_before(t):
    """The application in Node, the browser's side in Python."""
    converse(t, "node", "python")


@scenario(needs=("node", "npm:ws", "py:websockets"))
def python_behind_node_before(t):
    """The application in Python, the browser's side in Node."""
    converse(t, "python", "node")


@scenario(long=True, needs=("py:websockets",))
def ten_minutes_without_a_byte(t):
    """A WebSocket that carries nothing for 10 minutes then carries its load."""
    converse(t, "python", "python", 610)
