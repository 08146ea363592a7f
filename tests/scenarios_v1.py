"""The v1 wire, each end of it met by a peer written by hand."""
import base64
import json
import uuid

import harness
from harness import scenario, equal, contains, check, ask, pattern, Closed, Failed, TEXT

PYTHON = [("User-Agent", "Python/3.13 websockets/15.0.1")]


def v1(t, server, sub="demo", fields=PYTHON, target=None):
    peer = t.tunnel(server, sub=sub, v2=False, fields=fields, target=target)
    check(not peer.v2, "v2 is in force")
    return peer


def request_of(peer, seconds=10):
    message = peer.recv_json(seconds)
    message["fields"] = json.loads(message["headers"])
    message["octets"] = base64.b64decode(message["body"])
    return message


# ------------------------------------------------------- the server's side


@scenario(quick=True)
def request_message(t):
    """A request is one text message with the reference's six members in their order."""
    server = t.server()
    peer = v1(t, server)
    ask(t, server, "/demo/p/q?a=1&a=2&b=%20c%26", method="POST", body=b"\0\xff", fields=[("X-Mixed", "1")])
    opcode, payload = peer.recv()
    equal(opcode, TEXT, "opcode")
    message = json.loads(payload)
    equal(list(message), ["correlation_id", "url_path", "url_query", "method", "headers", "body"], "members")
    equal(message["correlation_id"], str(uuid.UUID(message["correlation_id"])), "id")
    equal((message["url_path"], message["method"]), ("p/q", "POST"), "path and method")
    equal(json.loads(message["url_query"]), [["a", "1"], ["a", "2"], ["b", " c&"]], "query")
    equal(base64.b64decode(message["body"]), b"\0\xff", "body")
    fields = json.loads(message["headers"])
    equal(fields["x-mixed"], "1", "lower-case names")
    equal(fields["x-pipegate-correlation-id"], uuid.UUID(message["correlation_id"]).hex, "correlation id")


@scenario()
def older_client_dials_its_id(t):
    """Who dials /ID?token=, as older Python clients do, is a client of that id; its token reaches no app. Without a
    token, or with a slash, it is a caller's."""
    server = t.server()
    peer = v1(t, server, target="/demo?token=" + harness.token())
    conn = ask(t, server)
    peer.send_answer_v1(request_of(peer)["correlation_id"])
    equal(conn.answer().status, 200, "status")
    for target, why in (("/other?token=" + harness.token(), "another id"),
                        ("/demo?token=" + harness.token(exp=1), "expired"), ("/demo?token=", "missing")):
        contains(t.tunnel(server, v2=False, target=target).wait_close(1008).reason, why, "reason")
    equal(t.conn(server).send(harness.upgrade_octets("/demo?x=1")).answer().status, 307, "an Upgrade without a token")
    t.conn(server).send(harness.upgrade_octets("/demo/?token=x"))
    equal(json.loads(request_of(peer)["url_query"]), [["token", "x"]], "an app's own token")


@scenario()
def request_without_query_or_body(t):
    """No query is "[]", no body is "", the root is the empty path."""
    server = t.server()
    peer = v1(t, server)
    ask(t, server, "/demo/")
    message = peer.recv_json()
    equal((message["url_path"], message["url_query"], message["body"]), ("", "[]", ""), "members")


@scenario()
def fields_towards_v1(t):
    """accept-encoding is identity, an absent cookie is empty, repeated fields are joined."""
    server = t.server()
    peer = v1(t, server)
    ask(t, server, fields=[("Accept-Encoding", "gzip, br"), ("X-A", "1"), ("x-a", "2")])
    fields = request_of(peer)["fields"]
    equal((fields["accept-encoding"], fields["cookie"], fields["x-a"]), ("identity", "", "1, 2"), "fields")
    ask(t, server, fields=[("Cookie", "a=1"), ("Cookie", "b=2")])
    equal(request_of(peer)["fields"]["cookie"], "a=1; b=2", "cookies")


@scenario(quick=True)
def v1_answers(t):
    """An answer message becomes the answer, its length that of the body."""
    server = t.server()
    peer = v1(t, server)
    conn = ask(t, server)
    peer.send_answer_v1(request_of(peer)["correlation_id"], 201, {"x-a": "1", "content-length": "999", "Set-Cookie": "a=1", "set-cookie": "b=2"}, b"\0binary\xff")
    answer = conn.answer()
    equal((answer.status, answer.body, answer.get("x-a")), (201, b"\0binary\xff", "1"), "answer")
    equal(answer.all("content-length"), ["8"], "length")
    equal(sorted(answer.all("set-cookie")), ["a=1", "b=2"], "cookies under keys of different case")


@scenario()
def v1_error_answers(t):
    """The 504 of a reference client, with empty headers and body, passes."""
    server = t.server()
    peer = v1(t, server)
    conn = ask(t, server)
    peer.send_json({"correlation_id": request_of(peer)["correlation_id"], "headers": "{}", "body": "", "status_code": 504})
    equal(conn.answer().status, 504, "status")


@scenario()
def decoded_gzip(t):
    """A content-encoding whose magic octets are not there is dropped; a true one stays."""
    import gzip
    server = t.server()
    peer = v1(t, server)
    for body, want in ((b"plain after all", None), (gzip.compress(b"x"), "gzip")):
        conn = ask(t, server)
        peer.send_answer_v1(request_of(peer)["correlation_id"], 200, {"content-encoding": "gzip", "content-length": "3"}, body)
        answer = conn.answer()
        equal((answer.body, answer.get("content-encoding")), (body, want), "answer")


@scenario()
def v1_heads(t):
    """For HEAD and 304 the length is the one in the header."""
    server = t.server()
    peer = v1(t, server)
    conn = ask(t, server, method="HEAD")
    peer.send_answer_v1(request_of(peer)["correlation_id"], 200, {"content-length": "4711"})
    equal(conn.answer("HEAD").get("content-length"), "4711", "length")


@scenario()
def methods_of_v1(t):
    """The seven methods pass; another is 405 from the server."""
    server = t.server()
    peer = v1(t, server)
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"):
        conn = ask(t, server, method=method)
        message = request_of(peer)
        equal(message["method"], method, "method")
        peer.send_answer_v1(message["correlation_id"])
        equal(conn.answer(method).status, 200, method)
    answer = ask(t, server, method="PROPFIND").answer()
    equal(answer.status, 405, "PROPFIND")
    contains(answer.get("allow"), "PATCH", "Allow")


@scenario()
def requests_too_large_for_python(t):
    """A body whose message would pass a Python client's 1 MiB is 413, and its link lives."""
    server = t.server()
    peer = v1(t, server)
    equal(ask(t, server, method="POST", body=pattern(800000)).answer(seconds=20).status, 413, "over it")
    conn = ask(t, server, method="POST", body=pattern(780000))
    message = request_of(peer, 20)
    check(message["octets"] == pattern(780000), "body")
    peer.send_answer_v1(message["correlation_id"])
    equal(conn.answer().status, 200, "under it")


@scenario()
def chunked_request_over_v1(t):
    """A chunked body goes whole, with no trace of its framing."""
    server = t.server()
    peer = v1(t, server)
    t.conn(server).send(b"POST /demo/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n")
    message = request_of(peer)
    equal(message["octets"], b"abc", "body")
    for name in ("transfer-encoding", "x-t"):
        check(name not in message["fields"], name)


@scenario()
def expect_over_v1(t):
    """Over v1 the server itself sends 100, and strips Expect."""
    server = t.server()
    peer = v1(t, server)
    conn = t.conn(server).send(b"POST /demo/x HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
    equal(conn.head().status, 100, "interim")
    conn.send(b"abc")
    message = request_of(peer)
    check("expect" not in message["fields"], "Expect is passed on")
    equal(message["octets"], b"abc", "body")


@scenario()
def v1_upgrade_is_ignored(t):
    """An Upgrade goes on without its Upgrade."""
    server = t.server()
    peer = v1(t, server)
    ask(t, server, fields=[("Connection", "Upgrade"), ("Upgrade", "shout")])
    check("upgrade" not in request_of(peer)["fields"], "Upgrade is passed on")


@scenario()
def streams_of_v1(t):
    """At most 100 requests are on a v1 link at once; the next waits."""
    server = t.server()
    peer = v1(t, server)
    conns = [ask(t, server, "/demo/%d" % i) for i in range(101)]
    first = [request_of(peer) for _ in range(100)]
    peer.conn.silent(0.5)
    peer.send_answer_v1(first[0]["correlation_id"])
    last = request_of(peer)
    for message in first[1:] + [last]:
        peer.send_answer_v1(message["correlation_id"])
    equal({c.answer().status for c in conns}, {200}, "answers")


@scenario(quick=True)
def hostile_v1_answers(t):
    """Answers that are not usable give 502 to their caller or are passed over; they never reach a caller as they are."""
    server = t.server(env={"PIPEGATE_OFFLINE_WAIT": "0"})
    good = {"headers": "{}", "body": "", "status_code": 200}
    cases = {
        "CR LF in a value": dict(headers='{"a":"b\\r\\nSet-Cookie: evil=1"}'), "CR LF in a name": dict(headers='{"a\\r\\nSet-Cookie":"b"}'),
        "empty name": dict(headers='{"":"b"}'), "headers not JSON": dict(headers="{"),
        "a number as a value": dict(headers='{"a":1}'), "status 99": dict(status_code=99), "status 199": dict(status_code=199),
        "status 600": dict(status_code=600), "status as text": dict(status_code="200"), "status 101": dict(status_code=101),
        "body not base64": dict(body="???"), "body a number": dict(body=1), "two lengths": dict(headers='{"content-length":"1","Content-Length":"2"}'),
    }
    for name, changes in cases.items():
        peer = v1(t, server)
        conn = ask(t, server)
        peer.send_json(dict(good, correlation_id=request_of(peer)["correlation_id"], **changes))
        answer = conn.answer()
        check(answer.status == 502 or name in ("status as text", "two lengths"), "%s: %d" % (name, answer.status))
        equal(answer.all("set-cookie"), [], name)
        peer.send_close(1000)
        peer.close()


@scenario()
def v1_messages_that_mean_nothing(t):
    """Rubbish and unknown ids on a v1 link do not end it: a Python client would never come back."""
    server = t.server()
    peer = v1(t, server)
    for text in ("{", "[]", "", "null", '{"correlation_id":"x"}', "[" * 60000):
        peer.send(TEXT, text)
    peer.send_answer_v1(str(uuid.uuid4()), body=b"late")
    conn = ask(t, server)
    peer.send_answer_v1(request_of(peer)["correlation_id"], body=b"good")
    equal(conn.answer().body, b"good", "answer")


@scenario()
def v1_answers_for_others(t):
    """A v1 client cannot answer another tunnel's request."""
    server = t.server()
    victim, thief = v1(t, server), v1(t, server, "thief")
    conn = ask(t, server)
    stream = request_of(victim)["correlation_id"]
    thief.send_answer_v1(stream, body=b"evil")
    thief.ping()
    victim.send_answer_v1(stream, body=b"good")
    equal(conn.answer().body, b"good", "answer")


@scenario()
def v1_and_v2_side_by_side(t):
    """A v1 and a v2 client of one id share its requests."""
    server = t.server()
    old, new = v1(t, server), t.tunnel(server)
    conns = [ask(t, server) for _ in range(2)]
    old.send_answer_v1(request_of(old)["correlation_id"])
    new.send_response(new.recv_request()["stream"])
    equal([c.answer().status for c in conns], [200, 200], "answers")


@scenario()
def v1_link_of_an_expired_token(t):
    """A v1 link stays open when its token expires, and gets no new requests."""
    server = t.server(env={"PIPEGATE_OFFLINE_WAIT": "0"})
    import time
    peer = t.tunnel(server, v2=False, fields=PYTHON, bearer=harness.token(exp=int(time.time()) + 2))

    def refused():
        conn = ask(t, server)
        try:
            peer.send_answer_v1(request_of(peer, 0.3)["correlation_id"])
        except Closed:
            raise
        except Failed:
            pass
        return conn.answer().status == 503
    t.wait(refused, "no new requests")
    peer.ping()


@scenario()
def large_v1_answers(t):
    """An answer of several megabytes passes; one past our own limit is 502 and the link lives."""
    server = t.server()
    peer = v1(t, server)
    conn = ask(t, server)
    stream = request_of(peer)["correlation_id"]
    sender = t.background(lambda: peer.send_answer_v1(stream, body=pattern(5000000)))
    check(conn.answer(seconds=30).body == pattern(5000000), "5 MB")
    sender.result()
    conn = ask(t, server)
    stream = request_of(peer)["correlation_id"]
    sender = t.background(lambda: peer.send_answer_v1(stream, body=pattern(60000000)))
    equal(conn.answer(seconds=60).status, 502, "60 MB")
    sender.result()
    conn = ask(t, server)
    peer.send_answer_v1(request_of(peer)["correlation_id"])
    equal(conn.answer().status, 200, "after it")


# ------------------------------------------------------- the client's side


def v1_link(t, **env):
    origin, server = t.origin(), t.tunnel_server()
    client = t.client(server, origin, ready=False, env=env)
    return server.accept(v2=False), client, origin, server


@scenario(quick=True)
def client_speaks_v1(t):
    """A server that does not select v2 is served over v1, in the reference's four members, as text."""
    peer, client, origin, server = v1_link(t)
    client.wait_out("/demo/")
    stream = peer.send_request_v1("echo/a", [["a", "1"], ["a", "2 &"], ["\u00e4", ""]], "POST",
                                  {"x-a": "1", "host": "pub.test"}, b"\0\xff")
    opcode, payload = peer.recv()
    equal(opcode, TEXT, "opcode")
    message = json.loads(payload)
    equal(list(message), ["correlation_id", "headers", "body", "status_code"], "members")
    equal((message["correlation_id"], message["status_code"]), (stream, 200), "id and status")
    got = origin.requests[0]
    equal((got.method, got.path, got.body), ("POST", "/echo/a", b"\0\xff"), "request")
    from urllib.parse import parse_qsl
    equal(parse_qsl(got.query, keep_blank_values=True), [("a", "1"), ("a", "2 &"), ("\u00e4", "")], "query")
    equal((got.get("x-a"), got.all("host")), ("1", ["pub.test"]), "fields")


@scenario(quick=True)
def client_answers_over_v1(t):
    """Bodies of all framings come whole, two Set-Cookie under two keys, other repetitions joined."""
    peer, _, origin, _ = v1_link(t)
    for path in ("size/70000", "chunked/70000", "close/70000"):
        peer.send_request_v1(path)
        message = peer.recv_json()
        check(base64.b64decode(message["body"]) == pattern(70000), path)
        check("transfer-encoding" not in json.loads(message["headers"]), path + ": framing")
    peer.send_request_v1("cookies")
    fields = json.loads(peer.recv_json()["headers"])
    equal(sorted(v for n, v in fields.items() if n.lower() == "set-cookie"), ["a=1; Path=/", "b=2; Path=/"], "cookies")
    equal([v for n, v in fields.items() if n.lower() == "x-twice"], ["one, two"], "others")


@scenario()
def client_swallows_1xx_over_v1(t):
    """Over v1 an interim answer is not passed on."""
    peer, _, _, _ = v1_link(t)
    peer.send_request_v1("1xx")
    message = peer.recv_json()
    equal((message["status_code"], base64.b64decode(message["body"])), (200, b"final"), "answer")


@scenario()
def client_failures_over_v1(t):
    """What breaks at the origin is one answer of 502 or 504."""
    peer, _, origin, _ = v1_link(t)
    origin.gate("rst").set()
    for path in ("rst", "rst-early", "short", "short-chunked", "close-rst"):
        stream = peer.send_request_v1(path)
        message = peer.recv_json()
        equal(message["correlation_id"], stream, path)
        check(message["status_code"] in (502, 504), "%s: %r" % (path, message))


@scenario()
def answers_too_large_for_python(t):
    """An answer that would pass a Python server's 16 MiB is 502 instead, and the link lives."""
    peer, _, _, _ = v1_link(t)
    for path, status in (("size/12500000", 200), ("size/12600000", 502), ("chunked/12600000", 502), ("size/3", 200)):
        peer.send_request_v1(path)
        message = peer.recv_json(60)
        equal(message["status_code"], status, path)


@scenario()
def chunked_answers_of_any_size(t):
    """Of an answer in chunks that comes at once nothing is left waiting in a buffer of ours, whatever its size."""
    peer, _, origin, _ = v1_link(t)
    for size in range(90000, 130000, 2500):
        origin.on("/once/%d" % size, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (
            size, bytes(size)))
        peer.send_request_v1("once/%d" % size)
        message = peer.recv_json(10)
        equal((message["status_code"], len(base64.b64decode(message["body"]))), (200, size), "an answer of %d" % size)


# Requests that are not usable, and whether the client may make another one of
# them that is.
HOSTILE = {
    "CR LF in the path": (dict(path="x HTTP/1.1\r\nEvil: 1\r\n\r\nGET /evil"), True),
    "CR LF in the method": (dict(method="GET /evil HTTP/1.1\r\n\r\nGET"), False),
    "CR LF in a value": (dict(fields={"a": "b\r\nEvil: 1"}), False),
    "CR LF in a name": (dict(fields={"a\r\nEvil": "1"}), False),
    "two lengths": (dict(fields={"content-length": "1", "Content-Length": "2"}, body=b"x"), True),
}


@scenario()
def hostile_v1_requests(t):
    """Request messages that are not usable never reach the origin, are answered once, and do not end the client."""
    peer, client, origin, _ = v1_link(t)
    sent, answers = {}, {}
    for name, (how, mendable) in HOSTILE.items():
        sent[peer.send_request_v1(**how)] = name, 400, 200 if mendable else 400
        sent[peer.send_request_v1("204")] = "a good one behind " + name, 204, 204
    while set(sent) != set(answers):
        message = peer.recv_json()
        stream = message["correlation_id"]
        check(stream in sent and stream not in answers, "an answer to nothing: %r" % message)
        answers[stream] = message["status_code"]
        check(answers[stream] in sent[stream][1:], "%s: %d" % (sent[stream][0], answers[stream]))
    for request in origin.requests:
        check(request.get("evil") is None, repr(request))
    check(not origin.seen("/evil"), "a second request was smuggled")
    equal(origin.faults, [], "faults at the origin")
    for text in ("{", "", "[]", '{"correlation_id":1}'):
        peer.send(TEXT, text)
    peer.send_request_v1("204")
    equal(peer.recv_json()["status_code"], 204, "a good request after them")
