"""chisel with a reverse port.  To be in PATH as chisel."""
import bed


def files():
    return [bed.program("chisel")]


def start(stand):
    control, port = bed.free_port(), bed.free_port()
    stand.spawn("server", [bed.program("chisel"), "server", "--host", "127.0.0.1", "--port", str(control), "--reverse"])
    bed.wait_port(control)
    stand.spawn("client", [bed.program("chisel"), "client", "127.0.0.1:%d" % control,
                           "R:127.0.0.1:%d:127.0.0.1:%d" % (port, stand.origin)])
    return "http://127.0.0.1:%d" % port
