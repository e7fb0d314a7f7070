"""The lean HTTP/1.1 client: keep-alive connections to one origin, answers pushed to a `Sink`.

`call` is one request on its way, `answer` reads what comes back, `connection` joins the two on a transport, `dialing`
makes connections. `engines.pool` shares them out and knows them only by the ports of `call`.
"""
