"""Compile ahead of time what models compile: ``python -m streammac.models``."""

from streammac.models.registry import FAMILIES

for family in FAMILIES.values():
    family().prepare()
