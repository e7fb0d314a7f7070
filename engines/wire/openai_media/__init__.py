"""OpenAI's operations on sound and pictures (openai-python types/audio, types/images_response.py), and vLLM's.

A transcription is a JSON document, or text in the form that was asked for. Its stream, and that of pictures and of
speech where events were asked for, is of events with a `type`, the last of which (`transcript.text.done`) has the
usage; vLLM streams a transcription as chunks of a chat, with `[DONE]` at the end. Speech is the sound itself.
Usage counts tokens, or says seconds; of pictures without one, how many there are is counted.
"""

from engines.wire.openai_media.dialect import DIALECT, SPEECH

__all__ = ["DIALECT", "SPEECH"]
