"""Hosts that share nothing but a switch: network namespaces of one machine, each with a cable that can be cut.

The process that makes a `Network` is one of its hosts itself while the network is there, the laptop.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest

CLONE_NEWNET = 0x40000000
LAPTOP = "laptop"

SCP = """#!/bin/sh
# host:path is a path in that host's directory; keeps modes, as a user's umask would
from=$1 to=$2
for last; do to=$last; done
[ "$1" = -p ] && from=$2
place() { case $1 in *:*) echo "$HOSTS/${1%%:*}/${1#*:}" ;; *) echo "$1" ;; esac; }
exec cp -p "$(place "$from")" "$(place "$to")"
"""


def unavailable(what: str) -> NoReturn:
    if "netns" in os.environ.get("STREAMMAC_REQUIRE", "").split(","):
        pytest.fail(f"{what}, but STREAMMAC_REQUIRE names netns")
    pytest.skip(what)


def ip(*words: str, check: bool = True) -> None:
    subprocess.run(["ip", *words], check=check, capture_output=True)


def enter(namespace: Path) -> None:
    """Put this thread, and whatever it starts, into a network namespace."""
    handle = os.open(namespace, os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(handle, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"setns {namespace}")
    finally:
        os.close(handle)


class Host:
    """A namespace with an address, a home directory and processes."""

    def __init__(self, network: Network, name: str, address: str) -> None:
        self.network = network
        self.name = name
        self.address = address
        self.home = network.root / name
        self.home.mkdir()
        self.processes: list[subprocess.Popen[bytes]] = []

    @property
    def namespace(self) -> str:
        return f"{self.network.prefix}{self.name}"

    def run(self, command: str) -> str:
        """Run a shell command here to its end; return what it printed."""
        done = subprocess.run(
            self._inside(command), cwd=self.home, env=self.network.environment, capture_output=True
        )
        assert done.returncode == 0, f"{self.name}$ {command}: {done.stderr.decode()}"
        return done.stdout.decode()

    def start(self, command: str) -> subprocess.Popen[bytes]:
        """Start a process here; what it says is in ``output``."""
        with (self.home / "output").open("ab") as output:
            process = subprocess.Popen(
                self._inside(f"exec env {command}"),
                cwd=self.home,
                env=self.network.environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def _inside(self, command: str) -> list[str]:
        return ["ip", "netns", "exec", self.namespace, "sh", "-c", command]

    def cut(self) -> None:
        """Pull the cable."""
        ip("-n", self.network.switch, "link", "set", self.name, "down")

    def mend(self) -> None:
        """Put the cable in again."""
        ip("-n", self.network.switch, "link", "set", self.name, "up")

    def vanish(self) -> None:
        """Lose the host: nobody hears of its processes again."""
        self.cut()
        for process in self.processes:
            process.kill()
            process.wait()
        self.processes.clear()


class Network:
    """A switch and the hosts at it, by name.

    Parameters
    ----------
    root : Path
        Has a directory for each host.
    addresses : dict
        The hosts; `LAPTOP` is this process.
    """

    def __init__(self, root: Path, addresses: dict[str, str]) -> None:
        if sys.platform != "linux" or shutil.which("ip") is None:
            unavailable("there is no ip command (Debian: iproute2)")
        self.root = root
        self.prefix = f"sm{os.getpid() % 100_000}"
        self.switch = f"{self.prefix}switch"
        self.environment = self._environment()
        self.hosts = {name: Host(self, name, address) for name, address in addresses.items()}
        self._before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)

    def _environment(self) -> dict[str, str]:
        """Return variables with which a host has the commands of the manual."""
        programs = self.root / "bin"
        programs.mkdir()
        python = f'#!/bin/sh\nexec "{sys.executable}" '
        texts = {
            "scp": SCP,
            "python": f'{python}"$@"\n',
            "streammac": f'{python}-m streammac "$@"\n',
        }
        for name, text in texts.items():
            (programs / name).write_text(text)
            (programs / name).chmod(0o755)
        path = f"{programs}:{os.environ['PATH']}"
        return {**os.environ, "PATH": path, "HOSTS": str(self.root)}

    def __enter__(self) -> Network:
        try:
            ip("netns", "add", self.switch)
        except subprocess.CalledProcessError as error:
            why = error.stderr.decode().strip()
            unavailable(f"network namespaces cannot be made here: {why}")
        ip("-n", self.switch, "link", "add", "bridge", "type", "bridge")
        ip("-n", self.switch, "link", "set", "bridge", "up")
        for host in self.hosts.values():
            ip("netns", "add", host.namespace)
            inside, cable = ("-n", host.namespace), ("-n", self.switch)
            pair = ("type", "veth", "peer", "name", "eth0", "netns", host.namespace)
            ip(*cable, "link", "add", host.name, *pair)
            ip(*cable, "link", "set", host.name, "master", "bridge", "up")
            ip(*inside, "addr", "add", f"{host.address}/24", "dev", "eth0")
            ip(*inside, "link", "set", "eth0", "up")
            ip(*inside, "link", "set", "lo", "up")
        enter(Path("/run/netns") / self.hosts[LAPTOP].namespace)
        return self

    def __exit__(self, *_: object) -> None:
        for host in self.hosts.values():
            for process in host.processes:
                if process.poll() is None:
                    process.send_signal(signal.SIGKILL)
                    process.wait()
        enter(Path(f"/proc/self/fd/{self._before}"))
        os.close(self._before)
        for namespace in (self.switch, *(host.namespace for host in self.hosts.values())):
            ip("netns", "del", namespace, check=False)

    def __getitem__(self, name: str) -> Host:
        return self.hosts[name]
