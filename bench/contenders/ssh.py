"""`ssh -R`: an sshd of our own, and one ssh that has it listen."""
import getpass
import os
import subprocess

import bed

CONF = """
ListenAddress 127.0.0.1
Port %(port)d
HostKey %(dir)s/host
AuthorizedKeysFile %(dir)s/user.pub
PidFile none
StrictModes no
UsePAM no
PermitRootLogin yes
PasswordAuthentication no
AllowTcpForwarding yes
"""
OPTIONS = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null",
           "ExitOnForwardFailure=yes", "BatchMode=yes", "IdentitiesOnly=yes")


def files():
    if os.geteuid() == 0 and not os.path.isdir("/run/sshd"):
        raise bed.Absent("sshd wants /run/sshd: its service makes it, or mkdir")
    return [bed.program("sshd"), bed.program("ssh")]


def prepare(stand):
    for name in ("host", "user"):
        subprocess.run([bed.program("ssh-keygen"), "-q", "-t", "ed25519", "-N",
                        "", "-f", stand.path(name)], check=True)


def start(stand):
    link, port = bed.free_port(), bed.free_port()
    conf = stand.write("sshd.conf", CONF % {"port": link, "dir": stand.folder})
    stand.spawn("sshd", [bed.program("sshd"), "-D", "-e", "-f", conf])
    stand.wait_said("sshd", "Server listening", ".log")
    argv = [bed.program("ssh"), "-F", "none", "-N", "-i", stand.path("user"),
            "-p", str(link), "-R", "127.0.0.1:%d:127.0.0.1:%d" % (
                port, stand.origin)]
    for option in OPTIONS:
        argv += ["-o", option]
    stand.spawn("ssh", argv + ["%s@127.0.0.1" % getpass.getuser()])
    return "http://127.0.0.1:%d" % port
