"""python3 tests/traffic.py WHAT ...: load in processes of its own, so that
it and the measuring of a scenario do not share an interpreter.

    origin                       an HTTP service for the paths below; prints "port N"
    download PORT PATH N SKIP T  N callers read PATH; prints the octets that came from SKIP s to T s
    rates PORT PATH T            one caller reads PATH; prints the octets of each second, as JSON
    trickle PORT PATH N RATE     N callers that read RATE octets a second (0: none at all)
    probe PORT PATH N T          N requests a second for T s; prints their times in ms, sorted, as JSON
    upload PORT PATH SIZE        one chunked upload of stamped blocks; prints the answer's body
    pull PORT PATH SIZE          one download of stamped blocks, each looked at; prints how many octets
    events PORT PATH             reads events; prints the gaps between them in ms, as JSON
    drip PORT PATH N             sends N events 100 ms apart; prints the answer, which is their gaps

Paths: /ok (2 octets), /bulk/N and /chunked/N (stamped blocks), /endless,
/paced/RATE (endless, RATE octets a second), /sink (counts what it is sent),
/events/N (N events 100 ms apart), /drip (the gaps of what it is sent).
"""
import json
import select
import socket
import struct
import sys
import threading
import time

BLOCK = 1 << 18
FILLING = bytes((i * 7 + i // 251) & 255 for i in range(BLOCK))


def block(number, size=BLOCK):
    """A block that says which it is, so that none can stand for another."""
    return (struct.pack(">Q", number) + FILLING[8:])[:size]


def blocks(total):
    for number in range(-(-total // BLOCK)):
        yield block(number, min(BLOCK, total - number * BLOCK))


def dial(port, receive=None):
    sock = socket.socket()
    if receive:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
    sock.connect(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def head_octets(method, path, fields=""):
    return ("%s %s HTTP/1.1\r\nHost: h\r\n%s\r\n" % (method, path, fields)).encode()


def read_head(stream):
    line = stream.readline().decode("latin-1").rstrip()
    if not line:
        raise EOFError
    fields = {}
    while True:
        field = stream.readline().decode("latin-1")
        if not field.endswith("\r\n"):
            raise EOFError
        if field == "\r\n":
            return line, fields
        name, _, value = field.partition(":")
        fields[name.lower()] = value.strip()


def read_pieces(stream, fields):
    """The body as it comes, in pieces; EOFError where it is cut off."""
    if fields.get("transfer-encoding") == "chunked":
        yield from read_chunks(stream)
        return
    left = int(fields.get("content-length", 0))
    while left > 0:
        piece = stream.read1(min(left, 1 << 18))
        if not piece:
            raise EOFError
        left -= len(piece)
        yield piece


def read_chunks(stream):
    while True:
        size = int(stream.readline() or b"x", 16)
        piece = stream.read(size + 2)
        if len(piece) != size + 2 or piece[size:] != b"\r\n":
            raise EOFError
        if size == 0:
            return
        yield memoryview(piece)[:size]


class Stamps:
    """Takes pieces of stamped blocks and counts; ValueError at a fault."""

    def __init__(self):
        self.count, self.want = 0, block(0)

    def take(self, piece):
        piece = memoryview(piece)
        while len(piece):
            at = self.count % BLOCK
            if at == 0:
                self.want = block(self.count // BLOCK)
            n = min(len(piece), BLOCK - at)
            if piece[:n] != memoryview(self.want)[at:at + n]:
                raise ValueError("wrong octets near %d" % self.count)
            self.count += n
            piece = piece[n:]


# ------------------------------------------------------------------- origin


def serve_bulk(sock, path, fields, stream):
    total = int(path.rsplit("/", 1)[1])
    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
    for piece in blocks(total):
        sock.sendall(piece)


def serve_chunked(sock, path, fields, stream):
    sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for piece in blocks(int(path.rsplit("/", 1)[1])):
        sock.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
    sock.sendall(b"0\r\n\r\n")


def serve_endless(sock, path, fields, stream):
    serve_bulk(sock, "/%d" % (1 << 50), fields, stream)


def serve_paced(sock, path, fields, stream):
    rate = int(path.rsplit("/", 1)[1])
    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (1 << 50))
    start, sent = time.monotonic(), 0
    while True:
        sock.sendall(FILLING[:65536])
        sent += 65536
        time.sleep(max(0, start + sent / rate - time.monotonic()))


def serve_sink(sock, path, fields, stream):
    stamps = Stamps()
    for piece in read_pieces(stream, fields):
        stamps.take(piece)
    body = b"%d" % stamps.count
    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


EVENT = b"10\r\ndata: an event\n\n\r\n"


def send_events(sock, number):
    start = time.monotonic()
    for k in range(number):
        time.sleep(max(0, start + k / 10 - time.monotonic()))
        sock.sendall(EVENT)
    sock.sendall(b"0\r\n\r\n")


def gaps_of(stream, fields):
    """The gaps between the events of a chunked body, in ms."""
    at, count = [], 0
    for piece in read_pieces(stream, fields):
        count += len(piece)
        at += [time.monotonic()] * (count // 16 - len(at))
    return [round((b - a) * 1000, 3) for a, b in zip(at, at[1:])]


def serve_events(sock, path, fields, stream):
    sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    send_events(sock, int(path.rsplit("/", 1)[1]))


def serve_drip(sock, path, fields, stream):
    body = json.dumps(gaps_of(stream, fields)).encode()
    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))


def serve_ok(sock, path, fields, stream):
    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


SERVICES = {"/bulk": serve_bulk, "/chunked": serve_chunked, "/endless": serve_endless,
            "/paced": serve_paced, "/sink": serve_sink, "/events": serve_events,
            "/drip": serve_drip}


def converse(sock):
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    stream = sock.makefile("rb", 1 << 18)
    try:
        while True:
            line, fields = read_head(stream)
            path = line.split(" ")[1]
            SERVICES.get("/" + path.split("/")[1], serve_ok)(sock, path, fields, stream)
    except (OSError, EOFError, ValueError):
        pass
    finally:
        stream.close()
        sock.close()


def origin():
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    print("port %d" % listener.getsockname()[1], flush=True)
    while True:
        sock, _ = listener.accept()
        threading.Thread(target=converse, args=(sock,), daemon=True).start()


# ------------------------------------------------------------------ callers


def download(port, path, number, skip, seconds):
    socks = [dial(int(port)) for _ in range(int(number))]
    for sock in socks:
        sock.sendall(head_octets("GET", path))
    start, total, space = time.monotonic(), 0, bytearray(1 << 18)
    while time.monotonic() < start + float(seconds):
        for sock in select.select(socks, [], [], 0.1)[0]:
            n = sock.recv_into(space)
            if n == 0:
                raise EOFError("a download ended")
            if time.monotonic() >= start + float(skip):
                total += n
    print(total, flush=True)


def rates(port, path, seconds):
    sock = dial(int(port))
    sock.sendall(head_octets("GET", path))
    sock.settimeout(1)
    start, got, space = time.monotonic(), [0] * (int(seconds) + 1), bytearray(1 << 18)
    while time.monotonic() < start + int(seconds):
        try:
            n = sock.recv_into(space)
        except socket.timeout:
            continue
        if n == 0:
            raise EOFError("a download ended")
        got[int(time.monotonic() - start)] += n
    print(json.dumps(got[:int(seconds)]), flush=True)


def trickle(port, path, number, rate):
    socks = [dial(int(port), 16384) for _ in range(int(number))]
    for sock in socks:
        sock.sendall(head_octets("GET", path))
    print("asked", flush=True)
    while True:
        for sock in socks:
            if int(rate):
                sock.recv(int(rate))
            time.sleep(1 / len(socks))


def probe(port, path, number, seconds):
    """Each of N threads asks once a second on a connection of its own, so
    that a slow answer delays no other question.  The first answer of each,
    with all that is done for the first time, is not counted."""
    times, threads = [], []
    start = time.monotonic() + 1

    def ask(sock, stream):
        began = time.monotonic()
        sock.sendall(head_octets("GET", path))
        line, fields = read_head(stream)
        stream.read(int(fields["content-length"]))
        if " 200 " not in line:
            raise ValueError(line)
        return round((time.monotonic() - began) * 1000, 3)

    def run(k):
        sock = dial(int(port))
        stream = sock.makefile("rb")
        ask(sock, stream)
        for turn in range(int(seconds)):
            time.sleep(max(0, start + turn + k / int(number) - time.monotonic()))
            times.append(ask(sock, stream))
    for k in range(int(number)):
        threads.append(threading.Thread(target=run, args=(k,)))
        threads[-1].start()
    for thread in threads:
        thread.join()
    if len(times) != int(number) * int(seconds):
        raise EOFError("%d answers" % len(times))
    print(json.dumps(sorted(times)), flush=True)


def upload(port, path, size):
    sock = dial(int(port))
    sock.sendall(head_octets("POST", path, "Transfer-Encoding: chunked\r\n"))
    for piece in blocks(int(size)):
        sock.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
    sock.sendall(b"0\r\n\r\n")
    stream = sock.makefile("rb")
    line, fields = read_head(stream)
    print(line.split(" ")[1], stream.read(int(fields["content-length"])).decode(), flush=True)


def pull(port, path, size):
    sock = dial(int(port))
    sock.sendall(head_octets("GET", path))
    stream = sock.makefile("rb", 1 << 18)
    line, fields = read_head(stream)
    stamps = Stamps()
    for piece in read_pieces(stream, fields):
        stamps.take(piece)
    print(line.split(" ")[1], stamps.count, flush=True)


def events(port, path):
    sock = dial(int(port))
    sock.sendall(head_octets("GET", path))
    stream = sock.makefile("rb", 1 << 16)
    print(json.dumps(gaps_of(stream, read_head(stream)[1])), flush=True)


def drip(port, path, number):
    sock = dial(int(port))
    sock.sendall(head_octets("POST", path, "Transfer-Encoding: chunked\r\n"))
    send_events(sock, int(number))
    stream = sock.makefile("rb")
    fields = read_head(stream)[1]
    print(stream.read(int(fields["content-length"])).decode(), flush=True)


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
