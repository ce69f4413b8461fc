"""Bringing an existing mail server, from Xen, KVM or metal, onto a disk of the cluster (docs/migration.md).

A plan is values: steps, made from the migration file and from what was seen of the source. Only `execution` touches
the world.
"""
