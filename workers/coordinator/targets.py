"""What Prometheus is to scrape: the processes that are here, in the form of its HTTP and file service discovery.

The coordinator makes the list from its membership; `workers.coordinator.live` puts it at ``/sd`` and into a file.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from streammac.coordinator.coordinator import Coordinator


def targets(coordinator: Coordinator, own_url: str) -> list[dict[str, Any]]:
    """Return one entry per process, labelled with its cluster, role and name.

    Who is lost or has left is not scraped: the coordinator's own series tell of it.

    Parameters
    ----------
    coordinator : Coordinator
        Who is there.
    own_url : str
        Where the coordinator's own metrics are.
    """
    found = [("coordinator", "coordinator", own_url)]
    for peer in sorted(coordinator.membership.peers.values(), key=lambda peer: peer.name):
        if peer.here:
            role = peer.registration.role
            found.append((role, peer.name, peer.registration.addresses.get("metrics", "")))
    return [
        {
            "targets": [urlsplit(url).netloc],
            "labels": {"cluster": coordinator.cluster, "role": role, "name": name},
        }
        for role, name, url in found
        if url
    ]
