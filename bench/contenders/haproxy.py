"""haproxy as a plain reverse proxy, one hop: one thread, its log to a file by
way of stderr."""
import bed

CONF = """
global
	nbthread 1
	maxconn 8192
	log stderr format raw local0
defaults
	mode http
	log global
	option httplog
	http-reuse always
	timeout connect 5s
	timeout client 300s
	timeout server 1h
listen bench
	bind 127.0.0.1:%(port)d
	server origin 127.0.0.1:%(origin)d
"""


def files():
    return [bed.program("haproxy")]


def start(stand):
    port = bed.free_port()
    conf = stand.write("haproxy.cfg", CONF % {"port": port,
                                              "origin": stand.origin})
    stand.spawn("haproxy", [bed.program("haproxy"), "-db", "-f", conf])
    return "http://127.0.0.1:%d" % port
