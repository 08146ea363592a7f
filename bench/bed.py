"""What a run stands on: a temporary folder, processes that are ended by their
ids, the origin, and what /proc says of a process."""
import http.client
import importlib
import os
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
SIZES = {"13": 13, "1k": 1024, "100k": 100 * 1024, "10m": 10 * 1024 * 1024}


class Trouble(Exception):
    """The bench cannot go on; the text says why."""


class Absent(Exception):
    """A contender cannot run here; the text says why."""


def wait(condition, what, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise Trouble("waited %g s in vain for %s" % (seconds, what))
        time.sleep(0.001)


def program(name):
    """The path of a program; the sbin folders need not be in PATH."""
    path = shutil.which(name) or shutil.which(
        name, path="/usr/local/sbin:/usr/sbin:/sbin")
    if path is None:
        raise Absent("no %s on this machine" % name)
    return path


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_port(port):
    """Until somebody listens there."""
    def listens():
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", port)) == 0
    wait(listens, "port %d" % port)


def raise_descriptors():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


# ------------------------------------------------------------ what /proc says


def read_text(path):
    try:
        with open(path) as f:
            return f.read()
    except OSError:
        return ""


def children(pid):
    found = []
    for task in tasks(pid):
        text = read_text("/proc/%d/task/%d/children" % (pid, task))
        found += [int(word) for word in text.split()]
    return found


def tree(pid):
    found = [pid]
    for child in children(pid):
        found += tree(child)
    return found


def tasks(pid):
    try:
        return [int(name) for name in os.listdir("/proc/%d/task" % pid)]
    except OSError:
        return []


def cpu_seconds(pid):
    """Time on a processor, to the nanosecond where the kernel keeps it."""
    total = 0.0
    for task in tasks(pid):
        text = read_text("/proc/%d/task/%d/schedstat" % (pid, task))
        if text:
            total += int(text.split()[0]) / 1e9
            continue
        fields = read_text("/proc/%d/task/%d/stat" % (pid, task))
        fields = fields.rpartition(")")[2].split()
        if fields:
            ticks = int(fields[11]) + int(fields[12])
            total += ticks / os.sysconf("SC_CLK_TCK")
    return total


def status_kib(pid, field):
    for line in read_text("/proc/%d/status" % pid).splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1])
    return 0


# -------------------------------------------------------------------- the bed


class Stand:
    """One program or group of programs under test, with a folder of its own."""

    def __init__(self, name, folder, origin):
        self.name = name
        self.folder = folder
        self.origin = origin    # its port on 127.0.0.1
        self.parts = []         # (label, Popen), in order of their start
        self.kept = {}          # from prepare() to start()
        self.url = None
        os.makedirs(folder, mode=0o755)

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text):
        with open(self.path(name), "w") as f:
            f.write(text)
        return self.path(name)

    def spawn(self, label, argv, env=None):
        """Output goes to files, LABEL.out and LABEL.log, as a user's would."""
        whole = dict(os.environ)
        whole.update(env or {})
        with open(self.path(label + ".out"), "wb") as out, \
                open(self.path(label + ".log"), "wb") as log:
            child = subprocess.Popen(
                argv, env=whole, cwd=self.folder, stdin=subprocess.DEVNULL,
                stdout=out, stderr=log)
        self.parts.append((label, child))
        return child

    def said(self, label, ending=".out"):
        return read_text(self.path(label + ending))

    def wait_said(self, label, text, ending=".out"):
        wait(lambda: self.dead() or text in self.said(label, ending),
             "%r from %s" % (text, label))
        if self.dead():
            raise Trouble("%s ended: %s" % (label, self.said(label, ".log")[-600:]))

    def dead(self):
        return any(child.poll() is not None for _, child in self.parts)

    def pids(self, label=None):
        found = []
        for name, child in self.parts:
            if label in (None, name):
                found += tree(child.pid)
        return found

    def labels(self):
        return [label for label, _ in self.parts]

    def cpu(self, label=None):
        return sum(cpu_seconds(pid) for pid in self.pids(label))

    def kib(self, field, label=None):
        return sum(status_kib(pid, field) for pid in self.pids(label))

    def stop(self):
        """Last started, first ended."""
        for _, child in reversed(self.parts):
            end_child(child)
        self.parts = []


def end_child(child):
    group = tree(child.pid)
    for number, seconds in ((signal.SIGTERM, 5), (signal.SIGKILL, 5)):
        if child.poll() is not None:
            break
        child.send_signal(number)
        try:
            child.wait(seconds)
        except subprocess.TimeoutExpired:
            pass
    for pid in group[1:]:
        wait(lambda pid=pid: not os.path.exists("/proc/%d" % pid) or
             kill_left(pid), "the end of process %d" % pid)


def kill_left(pid):
    """A grandchild that its parent left behind."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return True
    return False


class Bed:
    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="pipegate-bench-")
        os.chmod(self.folder, 0o755)
        self.stands = []
        self.count = 0
        self.hold = None
        self.origin = None
        raise_descriptors()

    def __enter__(self):
        self.start_origin()
        return self

    def __exit__(self, *what):
        for stand in reversed(self.stands):
            stand.stop()
        if self.hold is not None:
            self.hold.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def stand(self, name):
        self.count += 1
        folder = os.path.join(self.folder, "%d-%s" % (self.count, name))
        stand = Stand(name, folder, self.origin)
        self.stands.append(stand)
        return stand

    def start_origin(self):
        self.hold = socket.socket(socket.AF_UNIX)
        self.hold.bind(os.path.join(self.folder, "hold.sock"))
        self.hold.listen(4096)
        os.chmod(os.path.join(self.folder, "hold.sock"), 0o777)
        stand = self.stand("origin")
        os.mkdir(stand.path("files"), 0o755)
        for name, size in SIZES.items():
            text = "hello, world\n" * (size // 13 + 1)
            stand.write(os.path.join("files", name), text[:size])
        port = free_port()
        nginx(stand, ORIGIN % {"port": port, "bed": self.folder,
                               "dir": stand.folder}, 16384)
        self.origin = port
        first_answer("http://127.0.0.1:%d" % port, stand)

    def start(self, name):
        """Starts a contender.  Returns it, and the seconds until it answered."""
        module = contender(name)
        stand = self.stand(name)
        if hasattr(module, "prepare"):
            module.prepare(stand)
        began = time.monotonic()
        stand.url = module.start(stand).rstrip("/")
        first_answer(stand.url, stand)
        return stand, time.monotonic() - began

    def stop(self, stand):
        stand.stop()
        self.stands.remove(stand)


def contender(name):
    return importlib.import_module("contenders." + name)


def every_contender():
    names = os.listdir(os.path.join(HERE, "contenders"))
    return sorted(n[:-3] for n in names if n.endswith(".py"))


def absent(name):
    """Why a contender cannot run here, or None."""
    try:
        contender(name).files()
    except Absent as why:
        return str(why)
    return None


def first_answer(url, stand, seconds=20):
    """Until one whole answer has come; as fast as a caller may ask."""
    parts = urllib.parse.urlsplit(url + "/13")

    def answered():
        if stand.dead():
            raise Trouble("%s ended early: %s" % (stand.name, "".join(
                stand.said(label, ".log")[-600:] for label in stand.labels())))
        caller = http.client.HTTPConnection(parts.hostname, parts.port, timeout=5)
        try:
            caller.request("GET", parts.path)
            answer = caller.getresponse()
            return answer.status == 200 and len(answer.read()) == 13
        except (OSError, http.client.HTTPException):
            return False
        finally:
            caller.close()
    wait(answered, "the first answer of %s" % stand.name, seconds)


# ------------------------------------------------------------- nginx, twice

NGINX = """
%(user)s
daemon off;
worker_processes 1;
worker_rlimit_nofile %(files)d;
pid %(dir)s/nginx.pid;
error_log %(dir)s/error.log;
events { worker_connections %(connections)d; }
http {
	client_body_temp_path %(dir)s/body;
	proxy_temp_path %(dir)s/proxy;
	fastcgi_temp_path %(dir)s/fastcgi;
	uwsgi_temp_path %(dir)s/uwsgi;
	scgi_temp_path %(dir)s/scgi;
	keepalive_requests 100000000;
	client_max_body_size 0;
%(http)s
}
"""

# A POST is answered when it has come whole: passing on nothing of it to
# another port of one's own is how nginx can be made to do so.  What is sent
# to hold.sock is never answered, nor even accepted.
ORIGIN = """
	access_log off;
	sendfile on;
	tcp_nopush on;
	open_file_cache max=16 inactive=1h;
	open_file_cache_valid 1h;
	types { }
	default_type text/plain;
	upstream swallowed { server unix:%(dir)s/post.sock; keepalive 1024;
		keepalive_requests 100000000; }
	server {
		listen 127.0.0.1:%(port)d backlog=4096;
		root %(dir)s/files;
		location /post {
			client_body_buffer_size 2m;
			proxy_http_version 1.1;
			proxy_set_header Connection "";
			proxy_set_header Content-Length "";
			proxy_pass_request_body off;
			proxy_pass http://swallowed;
		}
		location /hold {
			proxy_read_timeout 1h;
			proxy_pass http://unix:%(bed)s/hold.sock;
		}
	}
	server {
		listen unix:%(dir)s/post.sock backlog=4096;
		return 200 "thank you\\n\\n\\n\\n";
	}
"""


def nginx(stand, http, connections):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    text = NGINX % {
        "user": "user root;" if os.geteuid() == 0 else "",
        "files": hard, "connections": min(connections, hard - 64),
        "dir": stand.folder, "http": http}
    conf = stand.write("nginx.conf", text)
    return stand.spawn("nginx", [program("nginx"), "-c", conf, "-p",
                                 stand.folder, "-e", stand.path("error.log")])
