"""Tokens for a team: how long they are good, how the secret is changed, how one is revoked."""
import re
import time

import harness
from harness import scenario, equal, contains, check, token, token_of, token_read

OLD, NEW = "the old secret, longer than 32 octets", "the new secret, longer than 32 octets"


def minted(t, *args, env=None):
    """The token and the words on stderr of `pipegate token`."""
    done = t.run("token", "-c", "demo", *args, env=env)
    equal(done.status, 0, "exit of token %s: %s" % (" ".join(args), done.err()))
    return done.out().split()[-1], done.err()


def jti_said(err):
    return re.fullmatch(r"jti: +([0-9a-f]{32})\n", err).group(1)


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
