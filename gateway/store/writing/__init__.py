"""The writer: what the process `gateway.store` does with what it is told, and how the gateway keeps that process."""
