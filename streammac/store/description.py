"""What describes a shard: the file ``schema.json`` in its directory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from streammac.files import document
from streammac.store.errors import StoreError
from streammac.store.points import Schema

NAME = "schema.json"


@dataclass(frozen=True, slots=True)
class Description:
    """What a shard's points look like, which shard it is, and whose; empty texts: not known.

    Attributes
    ----------
    schema : Schema
        Of its points.
    shard : str
        Its identity: its segments bear it.
    owner : str
        The worker and the cluster.
    """

    schema: Schema
    shard: str = ""
    owner: str = ""

    @classmethod
    def load(cls, directory: Path) -> Description | None:
        """Return what a directory says; None where the file is missing.

        Raises
        ------
        StoreError
            If it is damaged, or describes no shard.
        """
        path = directory / NAME
        try:
            known = document.decode(path.read_bytes())
            # the first ones held the schema alone
            schema = Schema.from_json(known.get("schema", known))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise StoreError(f"{path}: is damaged ({error}) - {document.REMEDY}") from error
        except (KeyError, TypeError) as error:
            raise StoreError(f"{path}: does not describe a shard - {document.REMEDY}") from error
        return cls(schema, str(known.get("shard", "")), str(known.get("owner", "")))

    def encode(self) -> bytes:
        """Return the file."""
        return document.encode(
            {"schema": self.schema.to_json(), "shard": self.shard, "owner": self.owner}
        )
