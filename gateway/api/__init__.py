"""What is not inference, as a Starlette app: models, health, readiness, metrics.

I want to ... add an endpoint / edit: app.py / test: tests/gateway/api. How failures look: failures.py.
"""
