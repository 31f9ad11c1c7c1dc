"""What all pools of a node have in common, found out and opened once at its start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from drop.config import Settings
from drop.host.cgroups import NodeGroups
from drop.host.confinement import Offers
from drop.pools.preparations import Preparations
from drop.secrets.provision import Provision
from drop.workers.pool import Shared


@dataclass(frozen=True, slots=True)
class Host:
    shared: Shared
    settings: Settings
    environ: Mapping[str, str]
    """The node's own; workers get what `drop.workers.environment` names of it."""
    offers: Offers
    """What workers can be kept from."""
    groups: NodeGroups
    provision: Provision
    images: Preparations | None = None
    """None: where no function in an image is started."""
