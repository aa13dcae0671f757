from benchmarks.messages import samples
from streammac.wire.codec import decode, encode


def test_what_is_measured_are_messages_that_a_cluster_takes():
    for message in samples().values():
        assert type(decode([bytes(frame) for frame in encode(message)])) is type(message)
