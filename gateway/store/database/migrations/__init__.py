"""The steps from each version of the schema to the next, run by Alembic (`gateway.store.database.opening`).

A step only adds, until the next major version: gateways of the version before go on writing during a rolling upgrade.
"""
