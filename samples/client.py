"""client.py: a command that needs a warm helper, in Python's standard library alone.

It asks the service "index" (samples/index.c) for names that begin like its arguments;
if it is not running yet, the first call starts it.

    python3 client.py client.json ls gre

In a build tree: RPDCTL=build/rpdctl python3 samples/client.py samples/client.json ls gre

To connect to a running service needs no process: the service's record says where, and the
kernel says whether a daemon is there. Only if that fails `rpdctl ensure` runs, which starts the
service, or waits for a start that is on its way, and prints where clients connect. What it
prints on failure is for the user.
"""
import errno
import json
import os
import socket
import subprocess
import sys


def runtime_directory():
    """As rpd chooses it. Only one of our own is believed: in another's, any user could
    say where the service is."""
    path = os.environ.get("RPD_RUNTIME_DIR")
    if not path and os.geteuid() == 0:
        path = "/run/rpd"
    if not path and os.environ.get("XDG_RUNTIME_DIR"):
        path = os.environ["XDG_RUNTIME_DIR"] + "/rpd"
    path = path or "/tmp/rpd-%d" % os.geteuid()
    status = os.lstat(path)
    if status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise PermissionError(errno.EPERM, "not ours alone", path)
    return path


def recorded_endpoints(service):
    try:
        with open("%s/%s.json" % (runtime_directory(), service), encoding="utf-8") as record:
            return json.load(record)["endpoints"]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def connect_to(endpoint):
    """unix:/path, unix:@name, tcp:1.2.3.4:5 or tcp:[::1]:5."""
    kind, _, address = endpoint.partition(":")
    if kind == "unix":
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect("\0" + address[1:] if address.startswith("@") else address)
        except OSError:
            connection.close()
            raise
        return connection
    host, _, port = address.rpartition(":")
    wildcards = {"*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}
    host = host.strip("[]")
    return socket.create_connection((wildcards.get(host, host), int(port)))


def connect_to_any(endpoints):
    """Unix ones first. None: no daemon is there."""
    for endpoint in sorted(endpoints, key=lambda text: not text.startswith("unix:")):
        try:
            return connect_to(endpoint)
        except OSError:
            continue
    return None


def ensure(config):
    """All services of the configuration run. Their endpoints, by service."""
    rpdctl = os.environ.get("RPDCTL") or "rpdctl"
    done = subprocess.run([rpdctl, "ensure", "--json", config], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False)
    sys.stderr.write(done.stderr)
    if done.returncode != 0:
        sys.exit(done.returncode if done.returncode > 0 else 128 - done.returncode)
    return {service["name"]: service["endpoints"] for service in json.loads(done.stdout)["services"]}


def connect(config, service):
    connection = connect_to_any(recorded_endpoints(service))
    if not connection:
        connection = connect_to_any(ensure(config).get(service, []))
    if not connection:
        sys.exit("client.py: %s: cannot connect" % service)
    return connection


def main():
    if len(sys.argv) < 3:
        sys.exit("usage: client.py CONFIG BEGINNING...")
    with connect(sys.argv[1], "index") as connection:
        with connection.makefile("rw", encoding="utf-8", errors="surrogateescape") as lines:
            for name in sys.argv[2:]:
                lines.write(name + "\n")
                lines.flush()
                answer = lines.readline()
                if not answer:
                    sys.exit("client.py: index: closed the connection")
                sys.stdout.write(answer)


if __name__ == "__main__":
    main()
