"""Tokens for a team: how long they are good, how the secret is changed, how one is revoked."""
import os
import re
import signal
import time

import harness
from harness import scenario, equal, contains, check, ask, token, token_of, token_read

OLD, NEW = "the old secret, longer than 32 octets", "the new secret, longer than 32 octets"


def minted(t, *args, env=None):
    """The token and the words on stderr of `pipegate token`."""
    done = t.run("token", "-c", "demo", *args, env=env)
    equal(done.status, 0, "exit of token %s: %s" % (" ".join(args), done.err()))
    return done.out().split()[-1], done.err()


def jti_said(err):
    return re.fullmatch(r"jti: +([0-9a-f]{32})\n", err).group(1)


class Revoked:
    """The file of PIPEGATE_REVOKED, and the server that has it."""

    def __init__(self, t, text="", env=None):
        self.path = os.path.join(t.folder, "revoked")
        self.reads = 0
        self.write(text)
        self.server = t.server(env=dict(env or {}, PIPEGATE_REVOKED=self.path))
        self.wait_read()

    def write(self, text):
        with open(self.path + ".new", "wb") as f:
            f.write(text if isinstance(text, bytes) else text.encode())
        os.rename(self.path + ".new", self.path)

    def wait_read(self, event="event=revoked-"):
        """Waits for one more of these; returns what it says."""
        self.reads += 1
        said = re.compile(r"%s(.*)\n" % event)
        harness.wait(lambda: len(said.findall(self.server.err())) >= self.reads, "a word on what was read")
        return said.findall(self.server.err())[self.reads - 1]

    def renew(self, text=None):
        """Has the server read it anew; returns what it says of that."""
        if text is not None:
            self.write(text)
        self.server.send_signal(signal.SIGHUP)
        return self.wait_read()


def refused(t, server, bearer, what):
    """That no client comes with it, since it is revoked."""
    closed = t.tunnel(server, bearer=bearer).wait_close(1008)
    equal(closed.reason, "token has been revoked", what)


def taken(t, server, bearer):
    peer = t.tunnel(server, bearer=bearer)
    peer.ping()
    return peer


# ------------------------------------------------------------------- minting


@scenario(quick=True)
def jti_is_said(t):
    """`pipegate token` says the token's jti on stderr, and its stdout is two lines as ever; the server logs it when a
    client connects with it."""
    text, err = minted(t)
    jti = jti_said(err)
    equal(token_read(text)["jti"], jti, "jti")
    server = t.server()
    taken(t, server, text)
    server.wait_err(" jti=%s\n" % jti)
    check(text not in server.err(), "the token is in the log")


@scenario()
def jti_of_others(t):
    """A jti that others made is one word in the log, whatever is in it; a token without one has -."""
    server = t.server()
    for jti, said in (("a b", r"a\x20b"), ('"x"\nid=y', r"\x22x\x22\x0aid=y"), ("\u00e9", r"\xc3\xa9"), (None, "-"),
                      ("", "-"), ("\x01" * 128, r"\x01" * 128)):
        taken(t, server, token(jti=jti)).close()
        server.wait_err(" jti=%s\n" % said)


@scenario()
def lifetimes(t):
    """--ttl takes s, m, h and d, and days where none is said, in place of PIPEGATE_JWT_TTL_DAYS; what is no such time
    is an error of the command line."""
    env = {"PIPEGATE_JWT_TTL_DAYS": "2"}
    for args, seconds in ((["--ttl", "1s"], 1), (["--ttl", "90s"], 90), (["--ttl=30m"], 1800), (["--ttl", "2h"], 7200),
                          (["--ttl", "7d"], 7 * 86400), (["--ttl", "7"], 7 * 86400), ([], 2 * 86400),
                          (["--ttl", "36500d"], 36500 * 86400), (["--ttl", "876000h"], 36500 * 86400)):
        claims = token_read(minted(t, *args, env=env)[0])
        equal(claims["exp"] - claims["iat"], seconds, "lifetime of %s" % args)
    for bad in ("", "0", "0s", "-1", "1w", "1.5h", "h", "2 h", "2hh", "2H", "36501", "36501d", "876001h", "3153600001s",
                "9223372036854775807d", "99999999999999999999"):
        done = t.run("token", "--ttl", bad)
        equal((done.status, done.out()), (2, ""), "exit and stdout with %r" % bad)
        contains(done.err(), "--ttl", "what was said of %r" % bad)


@scenario()
def token_runs_out(t):
    """A token of --ttl 1s is refused a second later."""
    server = t.server()
    text, _ = minted(t, "--ttl", "1s")
    t.wait(lambda: time.time() >= token_read(text)["exp"], "the token to expire")
    contains(t.tunnel(server, bearer=text).wait_close(1008).reason, "expired", "reason")


@scenario(quick=True)
def bare_tokens(t):
    """--bare mints sub and exp alone, and warns that only the id can be revoked; the server takes it. With --domain it
    is an error."""
    text, err = minted(t, "--bare", "--ttl", "2h")
    claims = token_read(text)
    equal(list(claims), ["sub", "exp"], "claims")
    check(abs(claims["exp"] - time.time() - 7200) < 60, "exp")
    contains(err, "revoked", "stderr")
    check("jti: " not in err, "a jti is said: %r" % err)
    origin, server = t.origin(), t.server()
    t.client(server, origin, env={"PIPEGATE_TOKEN": text})
    equal(t.get(server, "/demo/echo").status, 200, "status")
    contains(server.err(), " jti=-\n", "log")
    done = t.run("token", "--bare", "--domain", "app.example.org")
    equal((done.status, done.out()), (2, ""), "exit and stdout with --domain")
    contains(done.err(), "--domain", "what was said")


@scenario()
def claims_that_are_there_hold(t):
    """What a token says besides sub and exp must be right; what it does not say is not asked for."""
    server, now = t.server(), int(time.time())
    least = {"sub": "demo", "exp": now + 60}
    good = {"nbf": now, "iat": now, "iss": "pipegate", "aud": ["x", "pipegate"], "jti": "j"}
    bad = {"nbf": now + 60, "iat": now + 60, "iss": "other", "aud": "other", "jti": 1}
    for name in good:
        taken(t, server, token_of(dict(least, **{name: good[name]}))).close()
        t.tunnel(server, bearer=token_of(dict(least, **{name: bad[name]}))).wait_close(1008)
    for name in least:
        t.tunnel(server, bearer=token_of({n: v for n, v in dict(least, **good).items() if n != name})).wait_close(1008)


# ---------------------------------------------------------------- the secret


@scenario(quick=True)
def secret_changes_without_a_gap(t):
    """Tokens of PIPEGATE_JWT_SECRET and of _PREVIOUS are taken, others are not; without _PREVIOUS, or with an empty
    one, its tokens are not."""
    both = t.server(env={"PIPEGATE_JWT_SECRET": NEW, "PIPEGATE_JWT_SECRET_PREVIOUS": OLD})
    for secret in (NEW, OLD):
        taken(t, both, token(secret=secret))
    for empty in (None, ""):
        server = t.server(env={"PIPEGATE_JWT_SECRET": NEW, "PIPEGATE_JWT_SECRET_PREVIOUS": empty})
        taken(t, server, token(secret=NEW))
        for secret in (OLD, ""):
            contains(t.tunnel(server, bearer=token(secret=secret)).wait_close(1008).reason, "signature", "reason")
    contains(t.tunnel(both, bearer=token(secret="")).wait_close(1008).reason, "signature", "reason of both")


@scenario()
def previous_secret_signs_nothing(t):
    """`pipegate token` signs with PIPEGATE_JWT_SECRET alone, and needs it."""
    env = {"PIPEGATE_JWT_SECRET": harness.SECRET, "PIPEGATE_JWT_SECRET_PREVIOUS": OLD}
    token_read(minted(t, env=env)[0])
    done = t.run("token", env={"PIPEGATE_JWT_SECRET": None, "PIPEGATE_JWT_SECRET_PREVIOUS": OLD})
    equal((done.status, done.out()), (1, ""), "exit and stdout without the other")
    done = t.run("server", "--port", "0", env={"PIPEGATE_JWT_SECRET": "", "PIPEGATE_JWT_SECRET_PREVIOUS": OLD})
    equal(done.status, 1, "exit of the server")


@scenario()
def secrets_leave_the_environment(t):
    """Neither secret is left in the environment of a server or a client; a short previous one is warned about."""
    env = {"PIPEGATE_JWT_SECRET_PREVIOUS": OLD}
    origin, server = t.origin(), t.server(env=env)
    client = t.client(server, origin, env=env)
    for process in (server, client):
        with open("/proc/%d/environ" % process.pid, "rb") as f:
            left = f.read()
        check(OLD.encode() not in left and harness.SECRET.encode() not in left, "of the " + process.name)
    contains(t.run("token", env={"PIPEGATE_JWT_SECRET_PREVIOUS": "short"}).err(), "PIPEGATE_JWT_SECRET_PREVIOUS",
             "the warning")


# ------------------------------------------------------------------ revoking


@scenario(quick=True)
def token_is_revoked(t):
    """On SIGHUP the client whose jti is in the file is closed with 1008 and ends, and none comes with its token; its
    callers get 502; a client of the same id with another token stays."""
    text, err = minted(t)
    revoked = Revoked(t)
    origin, server = t.origin(), revoked.server
    client = t.client(server, origin, env={"PIPEGATE_TOKEN": text})
    conn = ask(t, server, "/demo/never")
    origin.wait_seen("/never")
    stays = taken(t, server, token())
    contains(revoked.renew("# of the team\n\n  %s  # a laptop that was lost\r\n" % jti_said(err)), "entries=1", "log")
    equal(conn.answer().status, 502, "the request at work")
    equal(client.wait_exit(), 1, "exit of the client")
    contains(client.err(), "token has been revoked", "what the client says")
    t.wait(lambda: "clients=1 jti=" + jti_said(err) in server.err(), "the log to say which one left")
    refused(t, server, text, "the same token")
    stays.ping()
    check(text not in server.err(), "the token is in the log")


@scenario()
def client_of_a_while_ends(t):
    """A client that has been connected for long ends too when its token is revoked."""
    clock = harness.Clock(t)
    revoked = Revoked(t)
    origin, server = t.origin(), revoked.server
    client = t.client(server, origin, env=clock.env)
    clock.go(15)
    equal(t.get(server, "/demo/echo").status, 200, "status")
    revoked.renew("demo\n")
    equal(client.wait_exit(), 1, "exit of the client")
    contains(client.err(), "token has been revoked", "what the client says")


@scenario()
def id_is_revoked(t):
    """An id in the file revokes all tokens for it, on both wires, bare ones too, and no other id's."""
    revoked = Revoked(t, "other\n")
    server = revoked.server
    gone = [taken(t, server, token()), taken(t, server, token_of({"sub": "demo", "exp": int(time.time()) + 60})),
            t.tunnel(server, v2=False)]
    stays = [taken(t, server, token(sub)) for sub in ("demo2", "dem", "DEMO")]
    refused(t, server, token("other"), "an id of the start")
    contains(revoked.renew("demo\n"), "entries=1", "log")
    for peer in gone:
        equal(peer.wait_close(1008).reason, "token has been revoked", "reason")
    refused(t, server, token(), "the id")
    taken(t, server, token("other"))
    for peer in stays:
        peer.ping()


@scenario()
def revoked_is_no_prefix(t):
    """A line counts whole, wherever it stands among many."""
    lines = ["%032x" % (i * 7919) for i in range(5000)]
    revoked = Revoked(t, "\n".join(reversed(lines)))
    for i in (0, 1, 2500, 4998, 4999):
        refused(t, revoked.server, token(jti=lines[i]), "line %d" % i)
        for jti in (lines[i][:-1], lines[i] + "0", lines[i].upper() + "X"):
            taken(t, revoked.server, token(jti=jti)).close()


@scenario()
def file_as_people_write_it(t):
    """Blanks, tabs, CR, blank lines, comments, a last line without an end and a byte order mark are all taken."""
    revoked = Revoked(t, b"\n\r\n   \n#a\n \t# b\none\n  two\t \r\nthree # demo\nfour\t#x\n#five\nsix#6\n\nseven")
    names = ("one", "two", "three", "four", "six#6", "seven")
    contains(revoked.server.err(), "event=revoked-read entries=%d\n" % len(names), "log")
    for name in names:
        refused(t, revoked.server, token(jti=name), name)
    for name in ("a", "b", "demo", "five", "six", "x", "#five", ""):
        taken(t, revoked.server, token(jti=name)).close()
    mark = "\ufeff".encode()
    for text in (b"first\r\nsecond\r\n", b"# none\nfirst"):
        revoked.renew(mark + text)
        refused(t, revoked.server, token(jti="first"), "behind the mark: %r" % text)
    equal(revoked.renew(mark), "read entries=0", "the mark alone")


# What cannot be the list, and what is said of it.
BAD_FILES = {
    b"good\ntwo words\n": "line 2 ", b"a\0b\n": "line 1 ", b"\n\nx\x01\n": "line 3 ", b"a" * 129 + b"\n": "line 1 ",
    b"\xff\xfed\0e\0m\0o\0\n\0": "line 1 ", b"a\n" * 524288 + b"b": "1048576",
}


@scenario()
def files_that_are_none(t):
    """A file that cannot be read or understood ends the program at the start, with a message that names the variable
    and not what the file says."""
    path = os.path.join(t.folder, "revoked")
    os.mkfifo(path + ".fifo")
    os.mkdir(path + ".folder")
    cases = [(path + ".none", "No such file"), (path + ".fifo", "regular"), (path + ".folder", "regular"),
             ("/dev/null", "regular"), ("/proc/self/status", "changed")]
    for i, (octets, said) in enumerate(BAD_FILES.items()):
        with open(path + str(i), "wb") as f:
            f.write(octets)
        cases.append((path + str(i), said))
    for name, said in cases:
        done = t.run("server", "--port", "0", env={"PIPEGATE_REVOKED": name})
        equal((done.status, done.out()), (1, ""), "exit and stdout with " + name)
        contains(done.err(), "PIPEGATE_REVOKED", "what was said of " + name)
        contains(done.err(), said, "what was said of " + name)
        check("words" not in done.err() and "aaa" not in done.err(), "the file is told: %r" % done.err())


@scenario()
def old_list_stays(t):
    """Where the file cannot be read on SIGHUP, what it said before counts on, and the log says why; when it can again,
    that counts."""
    revoked = Revoked(t, "gone\n")
    peer = taken(t, revoked.server, token(jti="here"))
    for octets, said in BAD_FILES.items():
        contains(revoked.renew(octets), said, "log")
    os.unlink(revoked.path)
    contains(revoked.renew(), "No such file", "log")
    os.mkfifo(revoked.path)
    contains(revoked.renew(), "regular", "log")
    equal(len(re.findall("level=error event=revoked-kept entries=1 ", revoked.server.err())), len(BAD_FILES) + 2, "errors")
    peer.ping()
    refused(t, revoked.server, token(jti="gone"), "the old list")
    contains(revoked.renew("here\n"), "entries=1", "log")
    peer.wait_close(1008)
    taken(t, revoked.server, token(jti="gone"))


@scenario()
def hangup_without_a_list(t):
    """Without PIPEGATE_REVOKED a SIGHUP changes nothing."""
    origin, server, client = t.trio()
    server.send_signal(signal.SIGHUP)
    for _ in range(3):
        equal(t.get(server, "/demo/echo").status, 200, "status")
    check(server.running() and client.running(), "one of them ended")
    check("revoked" not in server.err(), "the log")


@scenario()
def hangup_under_nohup(t):
    """A server that was started with SIGHUP ignored reads its list on SIGHUP all the same."""
    path = os.path.join(t.folder, "revoked")
    open(path, "w").close()
    server = t.server(env={"PIPEGATE_REVOKED": path}, under=["/bin/sh", "-c", 'trap "" HUP; exec "$@"', "sh"])
    peer = taken(t, server, token())
    with open(path, "w") as f:
        f.write("demo\n")
    server.send_signal(signal.SIGHUP)
    peer.wait_close(1008)


@scenario()
def one_who_does_not_listen(t):
    """A client that does not answer the close, and whose buffers are full, is got rid of."""
    revoked = Revoked(t)
    peer = taken(t, revoked.server, token())
    conns = [ask(t, revoked.server, "/demo/x", "POST", body=b"x" * 1000000) for _ in range(4)]
    revoked.server.settle()
    revoked.renew("demo\n")
    for conn in conns:
        equal(conn.answer().status, 502, "status")
    peer.conn.rest()


@scenario()
def many_clients_are_revoked(t):
    """Of 200 clients the half that the file names is closed, and the other half stays."""
    revoked = Revoked(t)
    peers = [taken(t, revoked.server, token("id%d" % i, jti="jti-%d" % i)) for i in range(200)]
    revoked.renew("".join("%s%d\n" % (("id", "jti-")[i % 4 // 2], i) for i in range(0, 200, 2)))
    for i, peer in enumerate(peers):
        if i % 2 == 0:
            peer.wait_close(1008)
        else:
            peer.ping()
