"""The command line: subcommands, options, environment, exit statuses, tokens."""
import os
import re
import shutil
import signal
import socket
import uuid

import harness
from harness import scenario, equal, contains, check, Conn, token, token_read

COMMANDS = ["server", "client", "token", "welcome"]
VARIABLES = [
    ("PIPEGATE_JWT_ALGORITHMS", ["[\"RS256\"]", "none", "[]", "[\"HS256\"", "ES256"]),
    ("PIPEGATE_JWT_TTL_DAYS", ["", "x", "-1", "0", "1.5", "99999999999999999999"]),
    ("PIPEGATE_CONNECTION_ID", ["a/b", "..", "healthz", "a b", "x" * 129]),
]
SERVER_VARIABLES = [
    ("PIPEGATE_JWT_ALGORITHMS", ["[\"RS256\"]", "none"]),
    ("PIPEGATE_MAX_BODY_BYTES", ["", "x", "-1", "10M", "1e3", "99999999999999999999"]),
    ("PIPEGATE_MAX_QUEUE_DEPTH", ["", "x", "-1", "3.5"]),
    ("PIPEGATE_OFFLINE_WAIT", ["", "soon", "-1"]),
    ("PIPEGATE_RESPONSE_TIMEOUT", ["", "never", "-1"]),
    ("PIPEGATE_MAX_MEMORY", ["", "64M", "-1"]),
    ("PIPEGATE_MAX_CONNECTIONS", ["", "many", "-1"]),
    ("PIPEGATE_TRUSTED_PROXIES", ["localhost", "10.0.0.0/33", "1.2.3", "::1/129"]),
    ("PIPEGATE_PROXY_PROTOCOL", ["", "2", "-1", "yes", "v2"]),
    ("PIPEGATE_SCHEME", ["", "HTTPS", "wss", "https "]),
]


def source(path):
    """The text of a file of this repository."""
    with open(os.path.join(harness.ROOT, path)) as f:
        return f.read()


@scenario()
def help_everywhere(t):
    """--help of the program and of each subcommand goes to stdout with exit 0."""
    for args in (["--help"], ["server", "--help"], ["client", "--help"], ["token", "--help"]):
        done = t.run(*args, env={"PIPEGATE_JWT_SECRET": None})
        equal(done.status, 0, "exit of %s" % args)
        contains(done.out(), "pipegate", "help")
        equal(done.err(), "", "stderr of %s" % args)


@scenario()
def help_names_each_subcommand(t):
    """The program's --help names server, client and token."""
    text = t.run("--help").out()
    for word in ("server", "client", "token"):
        contains(text, word, "help")


@scenario()
def version_is_the_headers(t):
    """--version prints the version of pipegate.h, the newest in doc/CHANGELOG."""
    version = re.search(r'PIPEGATE_VERSION "(.*)"', source("pipegate.h")).group(1)
    done = t.run("--version")
    equal(done.status, 0, "exit")
    contains(done.out(), version, "version")
    equal(re.search(r"^(\d+\.\d+\.\d+)\n-+$", source("doc/CHANGELOG"), re.M).group(1), version, "doc/CHANGELOG")


def flags(text):
    """The options in a line of usage or of mdoc, as -p and --port."""
    return set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", text.replace("Fl ", "-")))


def variables(text):
    """The variables that have a line of their own, with what stands behind each."""
    return dict(re.findall(r"^  ([A-Z]+_[A-Z_]+) +(.*)$", text, re.M))


def documented():
    """doc/settings: options by subcommand, and of each variable (subcommands, default, range)."""
    text = source("doc/settings")
    options = {name: set() for name in COMMANDS}
    for name, rest in re.findall(r"^  (\w+) +(-.*?)  ", text, re.M):
        for command in COMMANDS if name == "all" else [name]:
            options[command] |= flags(rest)
    rows = re.findall(r"^  ([A-Z]+_[A-Z_]+) +([sct ]+?)  +(.+?)  +(.+)$", text, re.M)
    return options, {name: (by.split(), default, span) for name, by, default, span in rows}


def manual():
    """doc/pipegate.1: the same, but for ranges, which it does not give."""
    text = source("doc/pipegate.1")
    options = {}
    for name, part in re.findall(r"^\.Ss pipegate (\w+)\n(.*?)(?=^\.S[sh])", text, re.M | re.S):
        options[name] = {"-h", "--help"}.union(*map(flags, re.findall(r"^\.It (Fl .*)$", part, re.M)))
    entries = re.findall(r"^\.It Ev (\w+)\n([\w ]+): (.*?)(?=^\.(?:It|El))", text, re.M | re.S)
    return options, {name: (re.findall("server|client|token", who.lower()), what) for name, who, what in entries}


@scenario()
def settings_are_the_same_everywhere(t):
    """--help, doc/settings and the manual name the same options and variables, for the same
    subcommands and with the same defaults; README's usage has the same options."""
    options, settings = documented()
    man_options, man_variables = manual()
    usage = re.split(r"^  pipegate ", source("README").split("\nUsage\n")[1].split("\nEach ")[0], flags=re.M)
    for command in COMMANDS:
        text = t.run(command, "--help").out()
        helped = variables((text.split("\nenvironment") + [""])[1])
        equal({"-h", "--help"}.union(*map(flags, re.findall(r"^  (-.*?)  ", text, re.M))), options[command],
              "options of %s in --help and doc/settings" % command)
        equal(man_options[command], options[command], "options of %s in the manual" % command)
        equal({f for part in usage if part.startswith(command) for f in flags(part) if f[:2] == "--"} | {"--help"},
              {f for f in options[command] if f[:2] == "--"}, "options of %s in README" % command)
        equal(sorted(helped), sorted(n for n, (by, _, _) in settings.items() if command[0] in by),
              "variables of %s in --help and doc/settings" % command)
        equal(sorted(n for n, (who, _) in man_variables.items() if command in who), sorted(helped),
              "variables of %s in the manual" % command)
        for name, what in helped.items():
            default = settings[name][1]
            if re.search(r"\d|^pipegate$", default):
                check(what.startswith(default), "--help of %s, %s: %s" % (command, name, what))
                contains(man_variables[name][1].split(), default, "manual, %s" % name)


@scenario()
def welcome_shows_the_request(t):
    """`pipegate welcome` answers every request with a page that shows it as it arrived, with what
    could be markup escaped; HEAD has no body; a head that cannot be read gets an error."""
    welcome = t.spawn([harness.BINARY, "welcome", "--port", "0"], name="welcome")
    port = int(re.search(r":(\d+)\n", welcome.wait_out("listening on http")).group(1))

    def asked(text):
        conn = harness.Conn.to(port)
        t.defer(conn.close)
        conn.send(text)
        return conn.rest()

    page = asked(b"POST /a&b?<c> HTTP/1.1\r\nHost: x\r\nX-Note: <b>\r\nContent-Length: 3\r\n\r\nabc")
    check(page.startswith(b"HTTP/1.1 200 OK\r\n"), "the answer: %r" % page[:60])
    contains(page, b"POST /a&amp;b?&lt;c>\nHost: x\nX-Note: &lt;b>\nContent-Length: 3\n", "page")
    equal(asked(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n").split(b"\r\n\r\n", 1)[1], b"", "body of HEAD")
    check(asked(b"GET / HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 400 "), "answer without a Host")


@scenario()
def ranges_are_as_documented(t):
    """The ends of each range in doc/settings are taken, and what is past them is refused."""
    seen = 0
    for name, (_, _, span) in documented()[1].items():
        ends = re.fullmatch(r"(\d+) to (\d+)", span)
        if ends is None:
            continue
        seen += 1
        low, high = map(int, ends.groups())
        for value, status in ((low - 1, 1), (low, 0), (high, 0), (high + 1, 1)):
            done = t.run("token", env={name: str(value)})
            equal(done.status, status, "exit for %s=%d" % (name, value))
            if status:
                contains(done.err(), "%s is \"%d\": it must be a whole number from %d to %d" %
                         (name, value, low, high), "stderr")
    equal(seen, 9, "variables with a range")


@scenario(quick=True)
def usage_errors_exit_2(t):
    """What cannot be understood on the command line exits 2, with stderr saying why."""
    for args in ([], ["what"], ["--nonsense"], ["server", "--nonsense"], ["server", "extra"],
                 ["server", "--port"], ["server", "--port", "x"], ["server", "--port", "65536"],
                 ["server", "--port", "-1"], ["server", "-p", ""], ["server", "--port="],
                 ["token", "extra"], ["token", "-c"], ["token", "--connection-id"],
                 ["client"], ["client", "http://localhost:1"],
                 ["client", "http://localhost:1", "ws://localhost:1/", "more"],
                 ["client", "--nonsense", "http://localhost:1", "ws://localhost:1/"],
                 ["client", "ftp://localhost", "ws://localhost:1/"],
                 ["client", "http://localhost:1", "gopher://localhost:1/"],
                 ["client", "http://localhost:0", "ws://localhost:1/"],
                 ["client", "http://localhost:99999", "ws://localhost:1/"],
                 ["client", "http://", "ws://localhost:1/"]):
        done = t.run(*args, env={"PIPEGATE_TOKEN": token()})
        equal(done.status, 2, "exit of %s" % args)
        check(done.err() != "", "nothing on stderr for %s" % args)
        equal(done.out(), "", "stdout of %s" % args)


@scenario()
def secret_is_required(t):
    """Without PIPEGATE_JWT_SECRET, or with an empty one, server and token refuse, and name it."""
    for value in (None, ""):
        for args in (["server", "--port", "0"], ["token"]):
            done = t.run(*args, env={"PIPEGATE_JWT_SECRET": value})
            check(done.status in (1, 2), "exit %d of %s" % (done.status, args))
            contains(done.err(), "PIPEGATE_JWT_SECRET", "stderr")


@scenario()
def short_secret_is_warned_about(t):
    """A secret under 32 octets works, with a warning that names the variable."""
    done = t.run("token", env={"PIPEGATE_JWT_SECRET": "short"})
    equal(done.status, 0, "exit")
    contains(done.err(), "PIPEGATE_JWT_SECRET", "stderr")
    check("warning" not in t.run("token").err(), "a warning with a good secret")


@scenario()
def client_needs_no_secret(t):
    """The client runs without PIPEGATE_JWT_SECRET."""
    origin, server = t.origin(), t.server()
    t.client(server, origin, env={"PIPEGATE_JWT_SECRET": None})


@scenario(quick=True)
def wrong_values_name_their_variable(t):
    """A value of `token`'s environment that does not parse is an error that names it."""
    for name, values in VARIABLES:
        for value in values:
            done = t.run("token", env={name: value})
            check(done.status in (1, 2), "%s=%r: exit %d" % (name, value, done.status))
            contains(done.err(), name, "stderr for %s=%r" % (name, value))
            equal(done.out(), "", "stdout for %s=%r" % (name, value))


@scenario()
def wrong_server_values_name_their_variable(t):
    """The same for the server."""
    for name, values in SERVER_VARIABLES:
        for value in values:
            server = t.server(env={name: value}, ready=False)
            status = server.wait_exit()
            check(status in (1, 2), "%s=%r: exit %d" % (name, value, status))
            contains(server.err(), name, "stderr for %s=%r" % (name, value))


@scenario()
def algorithms_may_be_list_or_word(t):
    """PIPEGATE_JWT_ALGORITHMS takes a JSON list and the plain word."""
    for value in ('["HS256"]', "HS256", '["HS256", "HS512"]', ' [ "RS256" , "HS256" ] '):
        equal(t.run("token", env={"PIPEGATE_JWT_ALGORITHMS": value}).status, 0, value)


@scenario(quick=True)
def token_prints_two_lines(t):
    """`token` prints the id and a token of exactly the seven claims."""
    done = t.run("token", "-c", "my-id.1~x_")
    equal(done.status, 0, "exit")
    lines = done.out().split("\n")
    equal(lines[0], "Connection-id: my-id.1~x_", "first line")
    check(lines[1].startswith("JWT Bearer:    "), "second line: " + lines[1])
    equal(lines[2:], [""], "lines after")
    claims = token_read(lines[1].split()[-1])
    equal(list(claims), ["sub", "exp", "nbf", "iat", "iss", "aud", "jti"], "claims")
    equal(claims["sub"], "my-id.1~x_", "sub")
    equal(claims["exp"] - claims["iat"], 21 * 86400, "lifetime")
    equal((claims["iss"], claims["aud"]), ("pipegate", "pipegate"), "issuer and audience")


@scenario()
def token_option_forms(t):
    """-c ID, --connection-id ID, --connection-id=ID and the variable all set the id; an option wins."""
    env = {"PIPEGATE_CONNECTION_ID": "of-env"}
    for args, want in ((["-c", "a"], "a"), (["--connection-id", "b"], "b"),
                       (["--connection-id=c"], "c"), ([], "of-env")):
        out = t.run("token", *args, env=env).out()
        contains(out, "Connection-id: %s\n" % want, str(args))


@scenario()
def token_ids_are_random(t):
    """Without an id each token has another one, and another jti."""
    seen = [token_read(t.run("token").out().split()[-1]) for _ in range(3)]
    equal(len({c["sub"] for c in seen}), 3, "different ids")
    equal(len({c["jti"] for c in seen}), 3, "different jti")


@scenario()
def token_refuses_bad_ids(t):
    """An id that could not stand in a path is refused."""
    for bad in ("", ".", "..", "healthz", "a/b", "a b", "ä", "x" * 129, "a%20"):
        done = t.run("token", "-c", bad)
        check(done.status in (1, 2), "%r: exit %d" % (bad, done.status))
        equal(done.out(), "", "stdout for %r" % bad)


@scenario()
def token_takes_issuer_audience_and_lifetime(t):
    """PIPEGATE_JWT_ISSUER, _AUDIENCE and _TTL_DAYS end up in the token, and in what the server wants."""
    env = {"PIPEGATE_JWT_ISSUER": "me \"x\"", "PIPEGATE_JWT_AUDIENCE": "you",
           "PIPEGATE_JWT_TTL_DAYS": "2"}
    text = t.run("token", "-c", "demo", env=env).out().split()[-1]
    claims = token_read(text)
    equal(claims["iss"], "me \"x\"", "issuer")
    equal(claims["exp"] - claims["iat"], 2 * 86400, "lifetime")
    server = t.server(env=env)
    t.client(server, t.origin(), env={"PIPEGATE_TOKEN": text})
    peer = t.tunnel(server)
    contains(peer.wait_close(1008).reason, "issuer", "reason")


@scenario()
def made_token_is_accepted(t):
    """What `token` makes, the server takes."""
    origin, server = t.origin(), t.server()
    text = t.run("token", "-c", "made").out().split()[-1]
    t.client(server, origin, "made", env={"PIPEGATE_TOKEN": text})
    equal(t.get(server, "/made/echo").status, 200, "status")


@scenario()
def token_in_the_url(t):
    """The client takes its token from ?token= too."""
    origin, server = t.origin(), t.server()
    client = t.client(server.url + "?token=" + token(), origin, ready=False,
                      env={"PIPEGATE_TOKEN": None})
    client.wait_out("http://127.0.0.1:%d/demo/" % server.port)


@scenario()
def token_never_shows(t):
    """No token stands in anybody's log, nor, after start, in the client's argument list."""
    origin, server = t.origin(), t.server()
    text = token()
    client = t.client(server.url + "?token=" + text, origin, ready=False,
                      env={"PIPEGATE_TOKEN": None})
    client.wait_out("/demo/")
    t.conn(server).send("GET /?token=%s HTTP/1.1\r\nHost: h\r\n\r\n" % text).answer()
    t.get(server, "/demo/echo?token=" + text)
    with open("/proc/%d/cmdline" % client.pid, "rb") as f:
        check(text.encode() not in f.read(), "the token stands in argv")
    for process in (server, client):
        check(text not in process.out() + process.err(), "%s shows the token" % process.name)


@scenario()
def http_urls_are_taken_for_ws(t):
    """http:// in the server URL is taken for ws://."""
    origin, server = t.origin(), t.server()
    client = t.client(server.url.replace("ws:", "http:"), origin, ready=False)
    client.wait_out("/demo/")


@scenario()
def client_without_token(t):
    """A client without any token fails and says which variable or argument would help."""
    origin, server = t.origin(), t.server()
    client = t.client(server, origin, ready=False, env={"PIPEGATE_TOKEN": None})
    check(client.wait_exit() in (1, 2), "exit")
    contains(client.err(), "oken", "stderr")


@scenario(quick=True)
def port_zero_is_printed(t):
    """With port 0 the first line of stdout says which port it is."""
    for args in (["-p", "0"], ["--port=0"], ["--port", "0"]):
        server = t.spawn([harness.BINARY, "server", "--host", "127.0.0.1"] + args)
        line = server.wait_out("\n").split("\n")[0]
        port = int(re.fullmatch(r"listening on http://127\.0\.0\.1:(\d+)", line).group(1))
        equal(Conn.to(port).get("/healthz").status, 200, "status")


@scenario()
def default_host_is_all(t):
    """Without --host it listens on 0.0.0.0."""
    server = t.spawn([harness.BINARY, "server", "-p", "0"])
    line = server.wait_out("\n").split("\n")[0]
    check(line.startswith("listening on http://0.0.0.0:"), line)


@scenario()
def listens_on_ipv6(t):
    """--host ::1 works, printed in brackets."""
    if not socket.has_ipv6 or not os.path.exists("/proc/net/if_inet6"):
        raise harness.Skipped("no IPv6 on this machine")
    with open("/proc/net/if_inet6") as f:
        if "lo" not in f.read():
            raise harness.Skipped("no ::1 on this machine")
    server = t.server("--host", "::1")
    contains(server.out(), "[::1]", "line")
    conn = Conn.to(server.port, "::1")
    equal(conn.get("/healthz").status, 200, "status")
    origin = t.origin()
    url = "ws://[::1]:%d/" % server.port
    client = t.client(url, origin, ready=False)
    client.wait_out("/demo/")
    equal(Conn.to(server.port, "::1").get("/demo/echo").status, 200, "through it")
    contains(origin.requests[0].get("x-forwarded-for"), "::1", "X-Forwarded-For")


@scenario()
def listens_on_a_socket_in_the_file_system(t):
    """--host unix:/path listens there and removes the socket at its end.  A socket that a killed server left is
    replaced; one on which another server listens, and any other file, is not."""
    path = os.path.join(t.folder, "server.sock")
    start = [harness.BINARY, "server", "--host", "unix:" + path]

    def health():
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(path)
        return Conn(sock).get("/healthz").status

    for end in (signal.SIGKILL, signal.SIGTERM):
        server = t.spawn(start)
        equal(server.wait_out("\n"), "listening on unix:%s\n" % path, "first line")
        equal(health(), 200, "status")
        second = t.run(*start[1:])
        equal(second.status, 1, "exit of a second server there")
        contains(second.err(), "unix:" + path, "what it said")
        equal(health(), 200, "status after that")
        server.send_signal(end)
        server.wait_exit()
    check(not os.path.exists(path), "the socket is gone")
    server = t.spawn(start)
    server.wait_out("\n")
    os.unlink(path)
    other = t.spawn(start)
    other.wait_out("\n")
    server.terminate()
    equal(health(), 200, "status of a server that listens there now, at the end of one that did")
    other.terminate()
    with open(path, "w") as f:
        f.write("a file of mine")
    equal(t.run(*start[1:]).status, 1, "exit where a file is in the way")
    with open(path) as f:
        equal(f.read(), "a file of mine", "that file")
    long = t.run("server", "--host", "unix:/" + "x" * 200)
    equal(long.status, 1, "exit with too long a path")
    contains(long.err(), "long", "what it said")


@scenario()
def port_in_use_exits_1(t):
    """A port that is taken is a failure (1) that says so."""
    first = t.server()
    second = t.server(port=first.port, ready=False)
    equal(second.wait_exit(), 1, "exit")
    contains(second.err(), str(first.port), "stderr")


@scenario()
def unknown_host_exits_1(t):
    """A host that is no address of this machine is a failure (1)."""
    server = t.server("--host", "192.0.2.1", ready=False)
    equal(server.wait_exit(), 1, "exit")
    contains(server.err(), "192.0.2.1", "stderr")


@scenario()
def restart_at_once_on_the_same_port(t):
    """A server that was killed can be started again on its port at once."""
    server = t.server()
    conn = t.conn(server)
    conn.get("/healthz")
    server.kill()
    equal(t.get(t.server(port=server.port), "/healthz").status, 200, "status")


@scenario(quick=True)
def server_ends_on_signals(t):
    """SIGTERM and SIGINT end the server with exit 0."""
    for number in (signal.SIGTERM, signal.SIGINT):
        equal(t.server().terminate(number), 0, "exit on %d" % number)


@scenario()
def client_ends_on_signals(t):
    """SIGINT closes the link with 1000, SIGTERM with 1001; the client then exits 0."""
    server, origin = t.tunnel_server(), t.origin()
    for number, code in ((signal.SIGINT, 1000), (signal.SIGTERM, 1001)):
        client = t.client(server, origin, ready=False)
        peer = server.accept()
        client.wait_out("/demo/")
        client.send_signal(number)
        peer.wait_close(code)
        peer.send_close(code)
        equal(client.wait_exit(), 0, "exit on %d" % number)


@scenario(quick=True)
def client_ends_while_it_cannot_connect(t):
    """A signal ends a client that is waiting to dial again."""
    client = t.client("ws://127.0.0.1:1/", "http://127.0.0.1:1", ready=False)
    t.wait(lambda: client.err() + client.out() != "", "a word about the failure")
    check(client.running(), "the client gave up")
    client.terminate()


@scenario()
def closed_standard_descriptors(t):
    """A server started without stdin, stdout and stderr serves, and mixes nothing up."""
    number = harness.free_port()
    server = t.spawn(["/bin/sh", "-c", 'exec "$@" 0<&- 1>&- 2>&-', "sh", harness.BINARY,
                      "server", "--host", "127.0.0.1", "--port", str(number)], name="server")
    t.wait_healthy(number)
    equal(server.terminate(), 0, "exit")


@scenario()
def log_to_nowhere(t):
    """A full stdout and stderr (/dev/full) do not stop the server."""
    number = harness.free_port()
    t.spawn(["/bin/sh", "-c", 'exec "$@" >/dev/full 2>/dev/full', "sh", harness.BINARY,
             "server", "--host", "127.0.0.1", "--port", str(number)], name="server")
    t.wait_healthy(number)
    for _ in range(3):
        Conn.to(number).get("/nobody")
    t.wait_healthy(number)


@scenario()
def same_instance_id_for_a_process(t):
    """The client names the same instance at each dial; another process another one."""
    server, origin = t.tunnel_server(), t.origin()
    t.client(server, origin, ready=False)
    seen = []
    for _ in range(2):
        peer = server.accept()
        offer = harness.json.loads(peer.handshake.get("x-pipegate"))
        seen.append(uuid.UUID(offer["instance"]))
        peer.close()
    equal(seen[0], seen[1], "instance")


@scenario(quick=True)
def client_dials_as_the_wire_says(t):
    """The handshake is a GET of 1.1 with a fresh key, version 13, pipegate.2 and X-PipeGate, and no extension."""
    server, origin = t.tunnel_server(), t.origin()
    t.client(server, origin, ready=False)
    first = server.dialled()
    head = first.handshake
    equal((head.method, head.version), ("GET", "HTTP/1.1"), "request line")
    equal(head.get("host"), "127.0.0.1:%d" % server.port, "Host")
    equal(head.get("upgrade").lower(), "websocket", "Upgrade")
    equal(head.get("connection").lower(), "upgrade", "Connection")
    equal(head.get("sec-websocket-version"), "13", "version")
    equal(len(harness.base64.b64decode(head.get("sec-websocket-key"))), 16, "key")
    equal(head.get("sec-websocket-protocol"), harness.V2, "protocol")
    equal(head.all("sec-websocket-extensions"), [], "extensions")
    offer = harness.json.loads(head.get("x-pipegate"))
    for name in ("instance", "received", "streams", "window"):
        check(name in offer, "no %s in X-PipeGate" % name)
    first.close()
    check(server.dialled().handshake.get("sec-websocket-key") != head.get("sec-websocket-key"),
          "the key is used again")


@scenario()
def token_goes_as_it_came(t):
    """A token of PIPEGATE_TOKEN goes as Authorization: Bearer or as ?token=, and the path of the URL stays."""
    server, origin = t.tunnel_server(), t.origin()
    text = token()
    t.client(server.url + "deep/er?x=1", origin, ready=False, env={"PIPEGATE_TOKEN": text})
    head = server.dialled().handshake
    check(head.target.startswith("/deep/er?x=1"), head.target)
    check(head.get("authorization") == "Bearer " + text or "token=" + text in head.target,
          "no token in %r" % head)


def demo_shell(t, **env):
    """contrib/demo.sh, and the number and path of the URL that it says to try."""
    shell = t.spawn(["sh", os.path.join(harness.ROOT, "contrib", "demo.sh")], dict(env, PIPEGATE=harness.BINARY), "demo")
    text = shell.wait_out("Ctrl-C", 20)
    line = re.search(r"^    (curl )?http://127\.0\.0\.1:(\d+)(/\S*)$", text, re.M)
    check(line, "no URL in %r" % text)
    return shell, line.group(1), int(line.group(2)), line.group(3)


def get_as(t, host, port, path):
    return t.conn(port).send(harness.request_octets("GET", path, host=host)).answer()


@scenario()
def demo(t):
    """contrib/demo.sh prints a URL that shows a page as printed, and Ctrl-C ends all that it started."""
    shell, _, port, path = demo_shell(t)
    answer = get_as(t, "127.0.0.1:%d" % port, port, path)
    equal((answer.status, path), (200, "/demo/"), "answer")
    contains(answer.get("content-type"), "text/html", "type")
    contains(answer.body, b"GET /\n", "the request on the page")
    host = "demo.localhost:%d" % port
    contains(shell.out(), "    curl http://%s/\n" % host, "the host")
    contains(get_as(t, host, port, "/").body, b"GET /\n", "the request on the page")
    pids = shell.children()
    check(len(pids) >= 3, "children: %s" % pids)
    equal(shell.err(), "", "what else it says")
    os.killpg(shell.pid, signal.SIGINT)
    shell.wait_exit()
    t.wait(lambda: not any(os.path.exists("/proc/%d" % pid) for pid in pids), "the end of all of them")


@scenario()
def demo_without_curl(t):
    """Where there is no curl, the demo says what to open in a browser; with one, the line to try."""
    tools = os.path.join(t.folder, "bin")
    os.mkdir(tools)
    for name in ("sh", "mktemp", "rm", "cat", "grep", "sed", "od", "tr", "sleep", "tail"):
        os.symlink(shutil.which(name), os.path.join(tools, name))
    _, curl, port, path = demo_shell(t, PATH=tools)
    equal(curl, None, "curl")
    equal(get_as(t, "127.0.0.1", port, path).status, 200, "status")
    with open(os.path.join(tools, "curl"), "w") as f:
        os.fchmod(f.fileno(), 0o755)
    equal(demo_shell(t, PATH=tools)[1], "curl ", "curl")


@scenario()
def demo_of_a_service(t):
    """With TARGET the demo leads to that service."""
    origin = t.origin()
    _, _, port, path = demo_shell(t, TARGET=origin.url)
    equal(get_as(t, "127.0.0.1", port, path).status, 200, "status")
    equal(origin.requests[0].target, "/", "target")


@scenario()
def what_is_no_token(t):
    """What has a space or a line's end in it is no token: the client says so, and what to copy."""
    for token in ("Connection-id: x\nJWT Bearer:    a.b.c", "a b", "a\tb", "t\u00f6ken"):
        client = t.run("client", "3000", "ws://127.0.0.1:1/", env={"PIPEGATE_TOKEN": token})
        equal(client.status, 2, "exit with %r" % token)
        contains(client.err(), "JWT Bearer:", "what it says")
