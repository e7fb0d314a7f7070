"""The admin API: one Starlette app beside the control plane. Workers pass `/admin` through, so one port serves.

I want to ... add an admin endpoint / edit: a file here with its routes, joined in `app.py` / test: tests/gateway/admin.
"""
