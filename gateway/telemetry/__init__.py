"""What the gateway says about itself: counters, access lines, spans.

Promise: a settled request pays for counting and for two list appends, nothing more. Encoding, writing and exporting
happen elsewhere, behind bounds; what does not fit is dropped and counted, never waited for.
"""
