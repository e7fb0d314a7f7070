"""How many replicas an engine has: `routing.autoscale` decides, this asks what it needs to know and acts.

joined.py        all of it, as the plane has it
autoscale.py     the loop: signals in, decisions out, each kept with its sentence
demand.py        the signals: sums over workers and peers
decisions.py     decisions as they are kept and shown
pooling.py       which engines can do each other's work
actuator.py      the port of whoever makes replicas more or fewer; one for each engine (engines.py):
    launched.py      processes of ours are started and stopped
    cluster/         an orchestrator's number is written
    advised.py       somebody else asks us for the number (KEDA, HPA)
    fixed.py         the number is the configuration's
    sleeping.py      over one of these: engines sleep before they are stopped (sleepers.py: who sleeps;
                     greeted.py: who is to say so first; sleep_ports.py: what it needs of others)

I want to change when replicas come and go / edit: `routing/autoscale` / test: tests/routing/autoscale.
"""
