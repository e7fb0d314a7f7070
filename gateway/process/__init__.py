"""The process around the gateway: its loop, its background tasks, its ports and its end.

event_loop.py    the loop, and its threads that hold no exit
supervisor.py, pause.py    background tasks, again and again, with rests that end early
side_ports.py    ports beside the main one
directory_lock.py    which gateway a directory is of
stopping.py, own_group.py    signals, and Ctrl-C kept from children
"""
