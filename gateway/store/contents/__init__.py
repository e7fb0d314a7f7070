"""Prompts and answers of the models that keep them: `models.M.records.content`. No other model leaves any.

    worker: relay.transcript -> gatherer ──unix socket──> writer process: keeper -> redaction -> table
                                                                                       └─> file, while it is away

Laws: records never wait for contents, which have their own link, thread and connection; and no content is in any file
before the model's `redact` has seen it, so workers put none into files: what finds no room is dropped, and counted.
"""
