"""nginx as a plain reverse proxy, one hop: one worker, connections to the
origin kept, an access log, no body written to a disk.  What the others are
held against."""
import bed

HTTP = """
	access_log %(dir)s/access.log;
	upstream origin { server 127.0.0.1:%(origin)d; keepalive 1024;
		keepalive_requests 100000000; }
	server {
		listen 127.0.0.1:%(port)d backlog=4096;
		location / {
			proxy_http_version 1.1;
			proxy_set_header Connection "";
			proxy_read_timeout 1h;
			proxy_request_buffering off;
			proxy_max_temp_file_size 0;
			proxy_pass http://origin;
		}
	}
"""


def files():
    return [bed.program("nginx")]


def start(stand):
    port = bed.free_port()
    bed.nginx(stand, HTTP % {"dir": stand.folder, "origin": stand.origin,
                             "port": port}, 40000)
    return "http://127.0.0.1:%d" % port
