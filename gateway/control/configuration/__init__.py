"""The configuration, from its file to what workers run on, without holding up a stream.

source.py         where it comes from, and whether it has changed
reader.py         a process of its own that reads and checks it
reading.py        how that process is started, bounded and heard
reload.py         a change: read, built, told to every worker, taken back where one refuses
certificates.py   files of keys and certificates that are rotated beside it
findings.py       what the operator should know of each replica when the gateway opens

I want to change how a reload is taken up or refused / edit: reload.py / test: tests/gateway/control/configuration.
"""
