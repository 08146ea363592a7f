"""bore, whose control port is always 7835.  To be in PATH as bore."""
import bed

CONTROL = 7835


def files():
    return [bed.program("bore")]


def start(stand):
    port = bed.free_port()
    stand.spawn("server", [bed.program("bore"), "server", "--min-port", "1024"])
    bed.wait_port(CONTROL)
    stand.spawn("client", [bed.program("bore"), "local", str(stand.origin), "--to", "127.0.0.1", "--port", str(port)])
    return "http://127.0.0.1:%d" % port
