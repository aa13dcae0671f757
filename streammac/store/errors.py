"""What can be wrong with a shard or with what is handed to it."""

from streammac.errors import StreammacError


class StoreError(StreammacError, ValueError):
    """Points that do not fit the shard, or a directory that is not the shard it should be."""


class ShardUnusable(StoreError):
    """The shard is closed, or the disk failed to keep what it had taken: open it again."""
