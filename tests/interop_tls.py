"""wss:// through real terminators, Caddy and stunnel, with real certificates;
and --connect, the user's own way to a server."""
import itertools
import os
import re
import shlex
import signal
import ssl
import subprocess

import harness
from harness import scenario, equal, check, contains, free_port, authority, certificate

STUNNEL = ("stunnel4", "openssl")
CADDY = ("caddy", "openssl")


def listening(port):
    try:
        harness.socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def stunnel(t, server, cert, key):
    """stunnel before the server, which wants no PROXY header: its port."""
    port = free_port()
    return stunnel_run(t, port, "foreground = yes\npid =\n[pipegate]\naccept = 127.0.0.1:%d\nconnect = 127.0.0.1:%d\n"
                       "cert = %s\nkey = %s\n" % (port, server.port, cert, key))


def stunnel_run(t, port, text):
    path = os.path.join(t.folder, "stunnel-%d.conf" % port)
    with open(path, "w") as f:
        f.write(text)
    t.spawn(["stunnel4", path])
    t.wait(lambda: listening(port), "stunnel")
    return port


def caddy(t, server):
    """Caddy before the server, with its internal authority: (port, CA file)."""
    port = free_port()
    path = os.path.join(t.folder, "Caddyfile")
    with open(path, "w") as f:
        f.write("{\n\tadmin off\n\tauto_https disable_redirects\n\tskip_install_trust\n\tstorage file_system %s/caddy\n}\n"
                "https://localhost:%d {\n\tbind 127.0.0.1\n\ttls internal\n\treverse_proxy 127.0.0.1:%d\n}\n"
                % (t.folder, port, server.port))
    t.spawn(["caddy", "run", "--config", path, "--adapter", "caddyfile"], {"HOME": t.folder})
    root = os.path.join(t.folder, "caddy/pki/authorities/local/root.crt")
    t.wait(lambda: harness.tls_works(port, root), "Caddy", 20)
    return port, root


def tunnel_through(t, server, origin, url, env):
    client = t.client(url, origin, ready=False, env=env)
    client.wait_out("/demo/", 20)
    equal(t.get(server, "/demo/echo").status, 200, "status")
    body = harness.pattern(300000)
    check(t.conn(server).request("POST", "/demo/raw", body=body, seconds=30).body == body, "a body")
    return client


def refused(t, origin, url, env):
    """The client does not get through, and says why; no request passes."""
    client = t.client(url, origin, ready=False, env=env)
    t.wait(lambda: "again" in client.out() + client.err() or not client.running(), "a word about it", 20)
    t.holds(lambda: "/demo/" not in client.out(), "it connected", 2)
    client.terminate()


def no_children(t, client):
    pids = client.children()
    client.terminate()
    t.wait(lambda: not any(os.path.exists("/proc/%d" % p) for p in pids), "the end of its children")


@scenario(needs=CADDY + ("curl",))
def through_caddy(t):
    """wss:// through Caddy works, trusted through SSL_CERT_FILE; callers come through it too."""
    origin, server = t.origin(), t.server()
    port, root = caddy(t, server)
    client = tunnel_through(t, server, origin, "wss://localhost:%d/" % port, {"SSL_CERT_FILE": root})
    done = t.spawn(["curl", "-sS", "--cacert", root, "https://localhost:%d/demo/echo" % port])
    equal(done.wait_exit(20), 0, "curl: " + done.err())
    got = origin.requests[-1]
    equal((got.get("x-forwarded-proto"), got.get("x-forwarded-host")), ("https", "localhost:%d" % port), "X-Forwarded-*")
    no_children(t, client)


def https(t, port, root, name, target="/"):
    """One request at a host behind Caddy, whose certificate must be for that name: its answer; None: there is none."""
    context = ssl.create_default_context(cafile=root)
    sock = harness.socket.create_connection(("127.0.0.1", port), 10)
    try:
        conn = harness.Conn(context.wrap_socket(sock, server_hostname=name))
    except ssl.SSLError as error:
        contains(str(error), "alert", "how the handshake with %s failed" % name)
        return None
    t.defer(conn.close)
    return conn.send(harness.request_octets("GET", target, host=name)).answer()


@scenario(needs=("caddy",))
def certificates_on_demand(t):
    """Caddy as contrib has it gets a certificate for the host of an id, and for an own domain, at the first request
    after the client has come; for an invented one, or a deeper one, it gets none."""
    origin = t.origin()
    server = t.server(env={"PIPEGATE_DOMAIN": "localhost,tunnel.example.com", "PIPEGATE_ADMIN": "127.0.0.1:0"})
    server.wait_out("(admin)\n")
    port, root = harness.contrib_caddy(t, server, int(re.search(r":(\d+) \(admin\)", server.out()).group(1)))
    names = ("demo.tunnel.example.com", "app.example.org")
    for name in names:
        equal(https(t, port, root, name), None, name + " before its client has come")
    t.client(server, origin, ready=False, env={"PIPEGATE_TOKEN": harness.token(domains=["app.example.org"])}).wait_out("->")
    for name in names:
        equal(https(t, port, root, name, "/echo?x").status, 200, name)
        got = origin.requests[-1]
        equal((got.target, got.get("host"), got.get("x-forwarded-proto"), got.get("x-forwarded-prefix")),
              ("/echo?x", name, "https", None), "what passed for " + name)
    for name in ("invented.tunnel.example.com", "x.demo.tunnel.example.com", "x.app.example.org", "example.org"):
        equal(https(t, port, root, name), None, name)
    equal(https(t, port, root, "localhost", "/demo/echo").status, 200, "by path")


@scenario(needs=CADDY)
def caddy_untrusted(t):
    """Without its authority among the trusted ones Caddy is refused."""
    origin, server = t.origin(), t.server()
    port, _ = caddy(t, server)
    refused(t, origin, "wss://localhost:%d/" % port, {})


@scenario(needs=STUNNEL)
def through_stunnel(t):
    """wss:// through stunnel works, by name and by address, and is dialled again when stunnel's server restarts."""
    origin, server = t.origin(), t.server()
    ca = authority(t, "ca")
    port = stunnel(t, server, *certificate(t, ca, "good", "DNS:localhost,IP:127.0.0.1"))
    env = {"SSL_CERT_FILE": ca}
    client = tunnel_through(t, server, origin, "wss://localhost:%d/" % port, env)
    server.kill()
    again = t.server(port=server.port)
    equal(t.get(again, "/demo/echo", seconds=20).status, 200, "after the restart")
    no_children(t, client)
    tunnel_through(t, again, origin, "wss://127.0.0.1:%d/" % port, env)


def stunnel_of_ours(t, server, cert, key):
    """stunnel before the server, set up as contrib has it: its port."""
    port = free_port()
    with open(os.path.join(harness.ROOT, "contrib", "stunnel.conf")) as f:
        text = f.read()
    for old, new in (("accept = 443", "accept = 127.0.0.1:%d" % port), ("127.0.0.1:8000\n", "127.0.0.1:%d\n" % server.port),
                     ("/etc/stunnel/fullchain.pem", cert), ("/etc/stunnel/privkey.pem", key),
                     ("setuid = stunnel4\n", ""), ("setgid = stunnel4\n", "")):
        equal(text.count(old), 1, "places of %r in contrib/stunnel.conf" % old)
        text = text.replace(old, new)
    return stunnel_run(t, port, text)


def asked_from(address, port, ca, fields):
    """The status of a request over TLS from another address of this machine."""
    context = harness.ssl.create_default_context(cafile=ca)
    sock = harness.socket.create_connection(("127.0.0.1", port), 10 * harness.SLOW, (address, 0))
    with context.wrap_socket(sock, server_hostname="localhost") as tls:
        return harness.Conn(tls).get("/demo/echo", fields).status


@scenario(needs=STUNNEL)
def callers_through_stunnel(t):
    """Behind stunnel, set up as contrib has it, the service is told the caller's own address and https, whatever the
    caller says; a tunnel's client comes the same way."""
    origin = t.origin()
    server = t.server(env={"PIPEGATE_PROXY_PROTOCOL": "1", "PIPEGATE_SCHEME": "https"})
    ca = authority(t, "ca")
    port = stunnel_of_ours(t, server, *certificate(t, ca, "good", "DNS:localhost"))
    client = t.client("wss://localhost:%d/" % port, origin, ready=False, env={"SSL_CERT_FILE": ca})
    client.wait_out("/demo/", 20)
    for address in ("127.0.0.1", "127.0.0.2", "127.9.8.7"):
        for lies in ([], [("X-Forwarded-For", "9.9.9.9"), ("X-Forwarded-Proto", "http"), ("X-Real-IP", "9.9.9.9"),
                          ("Forwarded", "for=9.9.9.9")]):
            equal(asked_from(address, port, ca, lies), 200, "status")
            got = origin.requests[-1]
            equal([got.all(n) for n in ("x-forwarded-for", "x-real-ip", "x-forwarded-proto", "forwarded")],
                  [[address], [address], ["https"], []], "what the service is told")
    contains(server.err(), "event=client-connected id=demo peer=127.0.0.1 ", "the log")
    no_children(t, client)


@scenario(needs=STUNNEL)
def wrong_certificates(t):
    """A certificate for another name, or of an authority that is not trusted, or a plain server, is refused."""
    origin, server = t.origin(), t.server()
    ca, other = authority(t, "ca"), authority(t, "other")
    wrong_name = stunnel(t, server, *certificate(t, ca, "wrong", "DNS:elsewhere.test"))
    good = stunnel(t, server, *certificate(t, ca, "good", "DNS:localhost"))
    refused(t, origin, "wss://localhost:%d/" % wrong_name, {"SSL_CERT_FILE": ca})
    refused(t, origin, "wss://127.0.0.1:%d/" % good, {"SSL_CERT_FILE": ca})
    refused(t, origin, "wss://localhost:%d/" % good, {"SSL_CERT_FILE": other})
    refused(t, origin, "wss://localhost:%d/" % good, {})
    refused(t, origin, "wss://localhost:%d/" % server.port, {"SSL_CERT_FILE": ca})


@scenario(needs=STUNNEL)
def ctrl_c_says_goodbye(t):
    """A Ctrl-C goes to the whole group: the helper still carries close 1000, and the client exits 0."""
    origin, server = t.origin(), t.server()
    ca = authority(t, "ca")
    port = stunnel(t, server, *certificate(t, ca, "good", "DNS:localhost"))
    client = t.client("wss://localhost:%d/" % port, origin, ready=False, env={"SSL_CERT_FILE": ca})
    client.wait_out("/demo/", 20)
    os.killpg(client.pid, signal.SIGINT)
    equal(client.wait_exit(), 0, "exit")
    t.wait(lambda: "event=client-gone" in server.err(), "the end at the server")
    contains(server.err(), "code=1000", "how it ended")


@scenario(needs=STUNNEL)
def connect_command(t):
    """--connect COMMAND and PIPEGATE_CONNECT carry the link over a command's stdin and stdout."""
    origin, server = t.origin(), t.server()
    ca = authority(t, "ca")
    port = stunnel(t, server, *certificate(t, ca, "good", "DNS:localhost"))
    command = ("openssl s_client -quiet -verify_quiet -verify_return_error -CAfile %s "
               "-verify_hostname localhost -connect 127.0.0.1:%d 2>/dev/null" % (ca, port))
    url = "wss://localhost:%d/" % port
    for args, env in ((("--connect", command), {}), (("--connect=" + command,), {}), ((), {"PIPEGATE_CONNECT": command})):
        client = t.client(url, origin, ready=False, args=args, env=env)
        client.wait_out("/demo/", 20)
        equal(t.get(server, "/demo/echo").status, 200, "status")
        no_children(t, client)


@scenario()
def connect_command_that_fails(t):
    """A command that fails is tried again; a client that ends leaves none behind."""
    origin, server = t.origin(), t.server()
    client = t.client(server, origin, ready=False, args=("--connect", "false"))
    t.wait(lambda: (client.out() + client.err()).count("again") >= 2, "two words about it")
    client.terminate()
    client = t.client(server, origin, ready=False, args=("--connect", "sleep 1000"))
    t.wait(lambda: client.children() != [], "the command")
    no_children(t, client)


@scenario()
def connect_command_whose_server_dies(t):
    """When the link ends, its command ends, and a new one is started."""
    origin, server = t.origin(), t.tunnel_server()
    helper = "%s -c %s" % (harness.sys.executable, shlex.quote(
        "import os, socket, threading\n"
        "s = socket.create_connection(('127.0.0.1', %d))\n"
        "def up():\n"
        "    while True:\n"
        "        b = os.read(0, 65536)\n"
        "        if not b: os._exit(0)\n"
        "        s.sendall(b)\n"
        "threading.Thread(target=up, daemon=True).start()\n"
        "while True:\n"
        "    b = s.recv(65536)\n"
        "    if not b: break\n"
        "    os.write(1, b)\n" % server.port))
    client = t.client(server, origin, ready=False, args=("--connect", helper))
    for _ in range(2):
        peer = server.accept()
        pids = client.children()
        equal(len(pids), 1, "children")
        peer.send_request("/204")
        equal(peer.recv_type("answer")["status_code"], 204, "status")
        peer.close()
        t.wait(lambda: not set(client.children()) & set(pids), "the end of the command")
    contains(client.out(), "/demo/", "stdout")


def readme_commands(after, ports):
    """The commands of README below the line that ends with after, on other ports."""
    with open(os.path.join(harness.ROOT, "README")) as f:
        lines = f.read().split(after + "\n\n")[1].split("\n")
    block = "\n".join(itertools.takewhile(lambda line: line.startswith("  "), lines))
    for usual, port in ports.items():
        block = re.sub(r"\b%s\b" % usual, str(port), block)
    return block.replace("server --host", "server --port %d --host" % ports["8000"]) + "\n"


def readme_trial(t, after):
    """Pastes a trial of README's quick start, with what stands before it."""
    ports = {usual: free_port() for usual in ("3000", "8000", "8443")}
    os.mkdir(os.path.join(t.folder, "bin"))
    os.symlink(harness.BINARY, os.path.join(t.folder, "bin", "pipegate"))
    path = ":".join([os.path.join(t.folder, "bin"), os.path.dirname(harness.sys.executable), os.environ["PATH"]])
    commands = readme_commands("and a service to look at:", ports) + readme_commands(after, ports)
    commands = "trap 'wait; exit 1' TERM\n%secho all pasted\nwait" % commands
    shell = t.spawn(["sh", "-c", commands], {"PATH": path, "HOME": t.folder})

    def end():
        shell.ended_by_us = True
        os.killpg(shell.pid, signal.SIGTERM)
    t.defer(end)
    out = shell.wait_out("all pasted", 60)
    contains(out, "https://localhost:%d/my-app/  ->  http://localhost:%d" % (ports["8443"], ports["3000"]), "client")
    contains(out, "Directory listing for /", "answer")


@scenario(needs=CADDY + ("curl",))
def readme_with_caddy(t):
    """README's trial with Caddy works as it is pasted."""
    readme_trial(t, "Then this, where Caddy is an authority of its own:")


@scenario(needs=STUNNEL + ("curl",))
def readme_with_stunnel(t):
    """README's trial with stunnel works as it is pasted."""
    readme_trial(t, "Or this, with stunnel and a certificate that signs itself:")
