"""haproxy's reverse HTTP: one haproxy dials another over HTTP/2 and takes
requests on that connection, as a tunnel does."""
import re
import subprocess

import bed

SAME = """
global
	nbthread 1
	maxconn 8192
	expose-experimental-directives
	log stderr format raw local0
defaults
	mode http
	log global
	option httplog
	http-reuse always
	timeout connect 5s
	timeout client 1h
	timeout server 1h
"""
SERVER = SAME + """
frontend callers
	bind 127.0.0.1:%(port)d
	use_backend tunnel
backend tunnel
	server client rev@
frontend links
	bind 127.0.0.1:%(links)d proto h2
	tcp-request session attach-srv tunnel/client
"""
CLIENT = SAME + """
backend dial
	server server 127.0.0.1:%(links)d proto h2
frontend requests
	bind rev@dial/server nbconn 1
	use_backend origin
backend origin
	server origin 127.0.0.1:%(origin)d
"""


def files():
    path = bed.program("haproxy")
    said = subprocess.run([path, "-v"], capture_output=True, text=True).stdout
    found = re.search(r"version (\d+)\.(\d+)", said)
    if not found or (int(found[1]), int(found[2])) < (2, 9):
        raise bed.Absent("haproxy is older than 2.9")
    return [path]


def start(stand):
    ports = {"port": bed.free_port(), "links": bed.free_port(),
             "origin": stand.origin}
    for label, text in (("server", SERVER), ("client", CLIENT)):
        conf = stand.write(label + ".cfg", text % ports)
        stand.spawn(label, [bed.program("haproxy"), "-db", "-f", conf])
    return "http://127.0.0.1:%d" % ports["port"]
