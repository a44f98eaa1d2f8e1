"""The tables of docs/server.md about /v1/realtime are whole: every event and field of the published interface stands there with its
state, and the program does what they say. Usage: conformance.py PROGRAM CHECKOUT
SPDX-License-Identifier: Apache-2.0"""
import pathlib
import re
import sys

from raw_socket import Socket
from serving import Server

PROGRAM, ROOT = sys.argv[1], pathlib.Path(sys.argv[2])
# The published (GA) lists.
CLIENT = """session.update input_audio_buffer.append input_audio_buffer.commit input_audio_buffer.clear conversation.item.create
 conversation.item.retrieve conversation.item.delete conversation.item.truncate response.create response.cancel output_audio_buffer.clear""".split()
SERVER = """session.created session.updated conversation.item.added conversation.item.done conversation.item.retrieved conversation.item.deleted
 conversation.item.truncated conversation.item.input_audio_transcription.delta conversation.item.input_audio_transcription.completed
 conversation.item.input_audio_transcription.segment conversation.item.input_audio_transcription.failed input_audio_buffer.committed
 input_audio_buffer.cleared input_audio_buffer.speech_started input_audio_buffer.speech_stopped input_audio_buffer.timeout_triggered
 response.created response.done response.output_item.added response.output_item.done response.content_part.added response.content_part.done
 response.output_text.delta response.output_text.done response.output_audio_transcript.delta response.output_audio_transcript.done
 response.output_audio.delta response.output_audio.done response.function_call_arguments.delta response.function_call_arguments.done
 rate_limits.updated error""".split()
SESSION = """type model id object expires_at output_modalities instructions tools tool_choice max_output_tokens truncation tracing prompt include
 audio.input.format audio.input.transcription audio.input.noise_reduction audio.input.turn_detection audio.output.format audio.output.voice
 audio.output.speed""".split()
DETECTION = "threshold prefix_padding_ms silence_duration_ms idle_timeout_ms create_response interrupt_response eagerness".split()
RESPONSE = "output_modalities instructions audio.output.format audio.output.voice tools tool_choice max_output_tokens conversation metadata input prompt".split()
PARTS = "input_text output_text input_audio input_image output_audio".split()
EFFECTLESS = {"tool_choice": "auto", "truncation": "auto", "tracing": "auto", "prompt": {"id": "p"}, "include": ["item.input_audio_transcription.logprobs"],
              "audio.input.transcription": {"model": "whisper-1"}, "audio.input.noise_reduction": {"type": "near_field"}, "audio.output.speed": 1.25}


def tables():
    """{head: {name: state}} of the section about realtime."""
    text = (ROOT / "docs/server.md").read_text().split("### GET /v1/realtime")[1].split("\n### ")[0]
    found, rows = {}, None
    for line in text.splitlines():
        cells = [c.strip() for c in line.strip("|").split("|")]
        if not line.startswith("|"):
            rows = None
        elif rows is None:
            rows = found.setdefault(cells[0], {})
        elif set(cells[0]) - set("-"):
            for name in re.findall(r"`([^`]+)`", cells[0]):
                rows[name] = cells[1]
    return found


def whole(t):
    for head, wanted in (("client's event", CLIENT), ("server's event", SERVER), ("field of a session", SESSION), ("field of a response", RESPONSE),
                         ("part of an item", PARTS)):
        missing = set(wanted) - t[head].keys()
        assert not missing, f"{head}: docs/server.md tells nothing of {missing}"
    for name in DETECTION:
        assert f"`{name}`" in t["field of a session"]["audio.input.turn_detection"], name
    # what the sources send is told as sent, and what is told as sent stands in the sources
    source = "".join(p.read_text() for p in sorted((ROOT / "src/server").glob("realtime*.c")))
    for name, state in t["server's event"].items():
        assert (f'"{name}"' in source) == (not state.startswith("not sent")), f"{name}: {state}"


def asked(w, event, *kinds):
    w.send(event)
    while (got := w.event())["type"] not in kinds:
        pass
    return got


def done(s, t):
    w = Socket(s.port)
    w.event()
    for name in t["client's event"]:
        w.send({"type": name, "event_id": "e"})
    w.send({"type": "response.cancel", "event_id": "last"})
    while True:
        event = w.event()
        if event["type"] == "error":
            assert "no event that a client sends" not in event["error"]["message"], event
            if event["error"]["event_id"] == "last":
                break
    assert "no event that a client sends" in asked(w, {"type": "no.such"}, "error")["error"]["message"]
    told = {name for name, state in t["field of a session"].items() if "without effect" in state}
    assert EFFECTLESS.keys() <= told, EFFECTLESS.keys() - told
    for path, value in EFFECTLESS.items():
        session = value
        for step in reversed(path.split(".")):
            session = {step: session}
        got = asked(w, {"type": "session.update", "session": {"type": "realtime", **session}}, "session.updated", "error")
        assert got["type"] == "session.updated", (path, got)
        here = got["session"]
        for step in path.split("."):
            here = here[step]
        assert here == value, f"{path} is not told again: {here}"
    for name in ("no_such_field", "audio"):
        got = asked(w, {"type": "session.update", "session": {name: {"no_such": 1} if name == "audio" else 1}}, "session.updated", "error")
        assert got["type"] == "error" and "no_such" in got["error"]["param"], got
    for item in ({"type": "function_call", "name": "f"}, {"type": "function_call_output", "output": "x"}):
        got = asked(w, {"type": "conversation.item.create", "item": item}, "conversation.item.added", "error")
        assert got["type"] == "error" and got["error"]["param"] == "item.type", got
    w.socket.close()


table = tables()
whole(table)
server = Server(PROGRAM)
done(server, table)
status, said = server.end()
assert status == 143 and not said, (status, said)
