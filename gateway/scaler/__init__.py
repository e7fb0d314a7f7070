"""KEDA's external scaler: KEDA asks how many replicas an engine should have, over gRPC, and writes that number.

I want to ... change what is answered / edit `service.py` / test: tests/gateway/scaler. `external_scaler.proto` is the
interface as KEDA documents it (concepts, External Scalers); `wire.py` reads and writes its messages.
"""
