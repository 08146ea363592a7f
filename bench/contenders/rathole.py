"""rathole with a tcp service.  To be in PATH as rathole."""
import bed

SERVER = """
[server]
bind_addr = "127.0.0.1:%d"
default_token = "bench"
[server.services.bench]
bind_addr = "127.0.0.1:%d"
"""
CLIENT = """
[client]
remote_addr = "127.0.0.1:%d"
default_token = "bench"
[client.services.bench]
local_addr = "127.0.0.1:%d"
"""


def files():
    return [bed.program("rathole")]


def start(stand):
    control, port = bed.free_port(), bed.free_port()
    server = stand.write("server.toml", SERVER % (control, port))
    client = stand.write("client.toml", CLIENT % (control, stand.origin))
    stand.spawn("server", [bed.program("rathole"), server])
    bed.wait_port(control)
    stand.spawn("client", [bed.program("rathole"), client])
    return "http://127.0.0.1:%d" % port
