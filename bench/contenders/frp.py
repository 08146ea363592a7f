"""frp with a tcp proxy.  To be in PATH as frps and frpc."""
import bed

SERVER = """
bindAddr = "127.0.0.1"
bindPort = %d
log.to = "%s"
"""
CLIENT = """
serverAddr = "127.0.0.1"
serverPort = %d
log.to = "%s"
[[proxies]]
name = "bench"
type = "tcp"
localIP = "127.0.0.1"
localPort = %d
remotePort = %d
"""


def files():
    return [bed.program("frps"), bed.program("frpc")]


def start(stand):
    control, port = bed.free_port(), bed.free_port()
    logs = [stand.write(name, "") for name in ("frps.log", "frpc.log")]
    server = stand.write("frps.toml", SERVER % (control, logs[0]))
    client = stand.write("frpc.toml", CLIENT % (control, logs[1], stand.origin, port))
    stand.spawn("server", [bed.program("frps"), "-c", server])
    bed.wait_port(control)
    stand.spawn("client", [bed.program("frpc"), "-c", client])
    return "http://127.0.0.1:%d" % port
