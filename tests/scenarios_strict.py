"""What is refused although much software lets it pass, and what is believed of
whom: hosts, chunk extensions, long methods, forwarding fields, answers of v1
clients that are not quite JSON."""
from harness import scenario, equal, check, Failed


def refused(t, server, octets, status, name):
    """octets get an error answer of that status, and the connection ends."""
    conn = t.conn(server).send_quietly(octets)
    try:
        answer = conn.answer()
        equal(answer.status, status, "status")
        equal(conn.rest(), b"", "octets after the answer")
    except Failed as failed:
        raise Failed("%s: %s" % (name, failed))


# ------------------------------------------------------------------- heads


BAD_HOSTS = ("", ":80", "h:65536", "h:99999999999999999999", "[::1]:65536", "a%41", "%61", "[fe80::1%25lo]",
             "[:::]", "[1::2::3]", "[127.0.0.1]", "[v1.a]")
GOOD_HOSTS = ("h:65535", "h:0", "h:", "h:0080", "[::1]:65535", "[::ffff:127.0.0.1]", "127.0.0.1", "a_b.c~d")


@scenario()
def hosts(t):
    """A Host that is empty, holds a '%', or has a port over 65535 is 400, in each form and version; others pass."""
    origin, server, _ = t.trio()
    for host in BAD_HOSTS:
        for line in ("GET /demo/echo HTTP/1.1", "GET /demo/echo HTTP/1.0", "GET http://%s/demo/echo HTTP/1.1" % host):
            refused(t, server, "%s\r\nHost: %s\r\n\r\n" % (line, host), 400, "%s, %s" % (line, host))
    for host in GOOD_HOSTS:
        equal(t.conn(server).request("GET", "/demo/echo", host=host).status, 200, host)
    equal([r.get("host") for r in origin.requests], list(GOOD_HOSTS), "what the service saw")


@scenario()
def long_methods(t):
    """A method over 64 octets is 501 as soon as that is seen, however it goes on; one of 64 passes."""
    origin, server, _ = t.trio()
    over = "M" * 65
    for name, octets in {
            "whole": "%s /demo/echo HTTP/1.1\r\nHost: h\r\n\r\n" % over, "not yet whole": over, "endless": "M" * 20000,
            "and a bad target": over + " /#\r\n", "not HTTP": over + "\n"}.items():
        refused(t, server, octets, 501, name)
    equal(t.conn(server).request("M" * 64, "/demo/echo").status, 200, "64 octets")
    equal([r.method for r in origin.requests], ["M" * 64], "what the service saw")
