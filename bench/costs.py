"""What a request costs apart from time: system calls and instructions."""


def profile(b, cells, seconds):
    return 0
