"""No proxy: wrk asks the origin itself."""


def files():
    return []


def start(stand):
    return "http://127.0.0.1:%d" % stand.origin
