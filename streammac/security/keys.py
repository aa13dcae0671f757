"""The folder of a host's keys: what is in it, and how it is made, read and changed.

``streammac keys`` writes it, `streammac.security.open_context` reads it when a process starts, and the guard reads
the allow-list at every handshake. All files are lines of words, ``#`` begins a comment; keys are 64 hexadecimal
digits, because ZeroMQ's own text form has characters that shells and option parsers take for theirs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import zmq
from zmq.utils import z85

from streammac.errors import ExitCode, Failure
from streammac.files.replace import replace

KEY_BYTES = 32
MAX_FILE_BYTES = 1 << 20
"""An allow-list of ten thousand keys is smaller."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
CLUSTER = "cluster"
"""Name of the key pair of the server side, which all members share."""


class BadKey(Failure):
    """A key or a file of keys is not what it should be; the message names it and the remedy."""

    def __init__(self, message: str) -> None:
        super().__init__(ExitCode.CONFIGURATION, message)


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A CURVE key pair and the name it goes by; both keys are 32 bytes."""

    name: str
    public: bytes
    secret: bytes = field(repr=False)

    @classmethod
    def new(cls, name: str) -> KeyPair:
        """Make a pair."""
        public, secret = zmq.curve_keypair()
        return cls(_checked_name(name), z85.decode(public), z85.decode(secret))


@dataclass(frozen=True, slots=True)
class Keys:
    """What a process needs to know.

    Attributes
    ----------
    own : KeyPair
        Who it is when it connects to others.
    cluster : bytes
        Public key (32 bytes) that it expects of those it connects to.
    server : KeyPair or None
        The cluster's key pair, with which it listens; clients have none and cannot listen.
    allow_list : Path
        Names and public keys of those who may connect to it.
    """

    own: KeyPair
    cluster: bytes
    server: KeyPair | None
    allow_list: Path


def parse_key(text: str) -> bytes:
    """Return the 32 bytes of a key.

    Raises
    ------
    BadKey
        If it is not 64 hexadecimal digits.
    """
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise BadKey(
            f"key: expected {2 * KEY_BYTES} hexadecimal digits, got {text[:80]!r} - "
            "`streammac keys list` prints those of a folder"
        )
    return key


def _checked_name(name: str) -> str:
    if not NAME.fullmatch(name):
        raise BadKey(
            f"name: expected up to 64 letters, digits and . _ -, got {name[:80]!r} - e.g. host-a"
        )
    return name


def _read(path: Path, words: int) -> list[list[str]]:
    """Return the lines of a file, each of so many words; no file has no lines."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
        if len(raw) > MAX_FILE_BYTES:
            raise BadKey(f"{path}: expected at most {MAX_FILE_BYTES} bytes - take old keys out")
        lines = raw.decode().splitlines()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise BadKey(f"{path}: expected a readable text file, got: {error}") from None
    found = []
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.lstrip().startswith("#"):
            parts = line.split()
            if len(parts) != words:
                raise BadKey(f"{path}:{number}: expected {words} words, got {len(parts)}")
            found.append(parts)
    return found


def read_allowed(path: Path) -> dict[bytes, str]:
    """Return the names on an allow-list by public key; where there is no file, nobody.

    Raises
    ------
    BadKey
        If the file is damaged: then nobody is let in, for want of knowing who was taken out.
    """
    lines = _read(path, 2)
    try:
        return {parse_key(key): _checked_name(name) for name, key in lines}
    except BadKey as error:
        raise BadKey(f"{path}: {error}") from None


def read_public(text: str) -> bytes:
    """Return a public key that is given as digits or as the path of a ``.pub`` file.

    Raises
    ------
    BadKey
        If it is neither.
    """
    path = Path(text)
    if re.fullmatch(f"[0-9a-fA-F]{{{2 * KEY_BYTES}}}", text) or not path.is_file():
        return parse_key(text)
    lines = _read(path, 2)
    if len(lines) != 1:
        raise BadKey(f"{path}: expected one line NAME KEY, got {len(lines)}")
    try:
        return parse_key(lines[0][1])
    except BadKey as error:
        raise BadKey(f"{path}: {error}") from None


@dataclass(frozen=True, slots=True)
class KeyFolder:
    """The layout of a folder of keys, by default ``DIR/keys``.

    ===============  ==============================================================
    ``own.key``      key pair of this host: secret
    ``own.pub``      its public key, to be allowed by others
    ``cluster.key``  key pair of the server side, the same on all members: secret
    ``cluster.pub``  its public key, for clients
    ``allowed``      who may connect: one NAME KEY per line
    ===============  ==============================================================
    """

    root: Path

    @property
    def allow_list(self) -> Path:
        """Who may connect."""
        return self.root / "allowed"

    # -- reading --------------------------------------------------------------------------

    def load(self) -> Keys | None:
        """Return the keys, or None where there is no such folder.

        Raises
        ------
        BadKey
            If a part is missing or damaged, or others than its owner may read a secret: a folder
            that is there means that keys are wanted.
        """
        if not self.root.exists():
            return None
        own = self._secret("own")
        if own is None:
            raise BadKey(f"{self.root}: expected own.key - `streammac keys new` makes it")
        server = self._secret(CLUSTER)
        cluster = server.public if server is not None else self._public(CLUSTER)
        if cluster is None:
            raise BadKey(
                f"{self.root}: expected cluster.key (of a member) or cluster.pub (of a client) - "
                "copy it from a host that has it"
            )
        return Keys(own, cluster, server, self.allow_list)

    def _secret(self, stem: str) -> KeyPair | None:
        path = self.root / f"{stem}.key"
        lines = _read(path, 3)
        if not lines and not path.exists():
            return None
        try:
            open_to_others = path.stat().st_mode & 0o077
        except OSError as error:  # gone in this moment: it is being replaced
            raise BadKey(f"{path}: {error.strerror}") from None
        if open_to_others:
            raise BadKey(f"{path}: others may read this secret - `chmod 600 {path}`")
        if len(lines) != 1:
            raise BadKey(f"{path}: expected one line NAME PUBLIC SECRET, got {len(lines)}")
        name, public, secret = lines[0]
        try:
            return KeyPair(_checked_name(name), parse_key(public), parse_key(secret))
        except BadKey as error:
            raise BadKey(f"{path}: {error}") from None

    def _public(self, stem: str) -> bytes | None:
        path = self.root / f"{stem}.pub"
        return read_public(str(path)) if path.exists() else None

    # -- changing -------------------------------------------------------------------------

    def new(self, name: str, cluster: bytes | None = None) -> Keys:
        """Make this host's key pair, and the cluster's unless it is known; allow the host itself.

        Parameters
        ----------
        name : str
            Name of the host.
        cluster : bytes, optional
            Public key of the cluster: makes the keys of a client, who connects and never listens.

        Raises
        ------
        BadKey
            If the host has a key pair already, or the name is no name.
        """
        pair = KeyPair.new(name)
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        if (self.root / "own.key").exists():
            raise BadKey(f"{self.root}: has own.key already - remove it first to replace it")
        server = self._secret(CLUSTER)
        if cluster is not None and server is not None:
            raise BadKey(f"{self.root}: has cluster.key, so --cluster-key is not needed")
        if cluster is None and server is None:
            server = KeyPair.new(CLUSTER)
            self._write_pair(CLUSTER, server)
        elif cluster is not None:
            _write(self.root / "cluster.pub", f"{CLUSTER} {cluster.hex()}\n", 0o644)
        self._write_pair("own", pair)
        if server is not None:
            self.allow(name, pair.public)
        loaded = self.load()
        assert loaded is not None
        return loaded

    def _write_pair(self, stem: str, pair: KeyPair) -> None:
        line = f"{pair.name} {pair.public.hex()} {pair.secret.hex()}"
        _write(self.root / f"{stem}.key", f"# secret\n{line}\n", 0o600)
        _write(self.root / f"{stem}.pub", f"{pair.name} {pair.public.hex()}\n", 0o644)

    def allow(self, name: str, key: bytes) -> None:
        """Put a public key on the allow-list; a name that is there gets the new key."""
        kept = {k: n for k, n in read_allowed(self.allow_list).items() if n != name}
        self._write_allowed(kept | {key: _checked_name(name)})

    def revoke(self, name: str) -> None:
        """Take a name off the allow-list.

        Raises
        ------
        BadKey
            If it is not there.
        """
        allowed = read_allowed(self.allow_list)
        if name not in allowed.values():
            raise BadKey(f"{self.allow_list}: there is no {name!r} - `streammac keys list`")
        self._write_allowed({k: n for k, n in allowed.items() if n != name})

    def _write_allowed(self, allowed: dict[bytes, str]) -> None:
        lines = [f"{name} {key.hex()}\n" for key, name in allowed.items()]
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write(self.allow_list, "# who may connect: NAME KEY\n" + "".join(lines), 0o644)


def _write(path: Path, text: str, mode: int) -> None:
    replace(path, text.encode(), sync=True, mode=mode)
