"""The names of /metrics, pinned: what dashboards ask for must not change unnoticed. And that they count: a spoken turn, an
interruption, requests. The board of packaging/ asks for nothing else. Usage: metrics.py PROGRAM CHECKOUT
SPDX-License-Identifier: Apache-2.0"""
import base64
import json
import re
import sys
import wave

from raw_socket import Socket
from serving import Server, until

PROGRAM, ROOT = sys.argv[1:3]
# name: type, labels
NAMES = {
    "requests_total": ("counter", {"route", "code"}), "rejected_total": ("counter", {"reason"}), "lost_total": ("counter", set()),
    "request_seconds": ("histogram", {"le"}), "queue_seconds": ("histogram", {"le"}), "first_text_seconds": ("histogram", {"le"}),
    "first_audio_seconds": ("histogram", {"le"}), "audio_rtf": ("histogram", {"le"}), "sessions": ("gauge", {"state"}),
    "queue_depth": ("gauge", set()), "voices_active": ("gauge", set()), "kv_bytes": ("gauge", set()), "kv_bytes_limit": ("gauge", set()),
    "kv_reused_positions_total": ("counter", set()), "prompt_positions_total": ("counter", set()), "text_tokens_total": ("counter", set()),
    "units_total": ("counter", set()), "audio_seconds_generated_total": ("counter", set()), "answer_seconds_total": ("counter", set()),
    "batch_rows": ("summary", set()), "realtime_sessions": ("gauge", set()), "realtime_sessions_total": ("counter", set()),
    "vad_segments_total": ("counter", set()), "barge_in_total": ("counter", set()), "barge_in_silence_seconds": ("histogram", {"le"}),
    "speech_end_to_stopped_seconds": ("histogram", {"le"}), "speech_stopped_to_first_audio_seconds": ("histogram", {"le"}),
    "speech_end_to_first_audio_seconds": ("histogram", {"le"}), "audio_underrun_total": ("counter", set()),
    "events_dropped_total": ("counter", set()), "connections": ("gauge", {"kind"}), "connections_total": ("counter", set()),
    "connections_refused_total": ("counter", {"reason"}), "build_info": ("gauge", {"version"})}
PROCESS = {"resident_memory_bytes", "virtual_memory_bytes", "cpu_seconds_total", "open_fds", "max_fds", "start_time_seconds"}


def read(s):
    """{name: type}, {name: labels}, {line's name with labels: value}"""
    types, labels, values = {}, {}, {}
    for line in s.ask("GET", "/metrics")[2].decode().splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            types[name] = kind
        elif not line.startswith("#"):
            whole, value = line.rsplit(" ", 1)
            name = whole.split("{")[0]
            base = name if name in types else re.sub("_(bucket|sum|count)$", "", name)
            assert base in types, f"{name} has no type"
            labels.setdefault(base, set()).update(re.findall(r'(\w+)="', whole))
            values[whole] = float(value)
    return types, labels, values


def names(s):
    types, labels, values = read(s)
    told = {n.removeprefix("streamomni_"): (k, labels.get(n, set())) for n, k in types.items() if n.startswith("streamomni_")}
    assert told == NAMES, {k: (told.get(k), NAMES.get(k)) for k in told.keys() ^ NAMES.keys() | {k for k in told if told[k] != NAMES.get(k)}}
    assert {n.removeprefix("process_") for n in types if n.startswith("process_")} == PROCESS
    assert values["process_resident_memory_bytes"] > 1e6 and 3 < values["process_open_fds"] < values["process_max_fds"]
    with open(ROOT + "/packaging/grafana.json") as f:
        board = json.load(f)
    asked = {re.sub("_(bucket|sum|count)$", "", n) for p in board["panels"] for t in p.get("targets", [])
             for n in re.findall(r"streamomni_(\w+)", t["expr"])}
    assert asked and asked <= NAMES.keys(), asked - NAMES.keys()
    wanted = {"barge_in_silence_seconds", "audio_underrun_total", "audio_rtf", "speech_end_to_stopped_seconds", "queue_depth"}
    assert wanted <= asked, f"the board shows nothing of {wanted - asked}"


def question():
    """The shipped question at 24 kHz."""
    with wave.open(ROOT + "/examples/question.wav") as w:
        rate, n = w.getframerate(), w.getnframes()
        pcm = memoryview(w.readframes(n)).cast("h")
    return b"".join(pcm[int(i * rate / 24000)].to_bytes(2, "little", signed=True) for i in range(int(n * 24000 / rate)))


def append(w, pcm):
    for i in range(0, len(pcm), 48000):
        w.send({"type": "input_audio_buffer.append", "audio": base64.b64encode(pcm[i:i + 48000]).decode()})


def a_spoken_turn(s):
    """Answered, then interrupted by another question that comes at once behind the first."""
    value = lambda name: read(s)[2]["streamomni_" + name]
    w = Socket(s.port)
    append(w, question() + bytes(48000))
    while w.event()["type"] != "response.done":
        pass
    for name in ("speech_end_to_stopped_seconds", "speech_stopped_to_first_audio_seconds", "speech_end_to_first_audio_seconds",
                 "first_audio_seconds", "first_text_seconds", "audio_rtf"):
        assert value(name + "_count") == 1, name
    # 0.5 s of silence end a turn; sound that comes at once has its own time
    assert 0.3 < value("speech_end_to_stopped_seconds_sum") < 1, value("speech_end_to_stopped_seconds_sum")
    assert value("vad_segments_total") == 1 and value("barge_in_total") == 0 and value("realtime_sessions") == 1
    assert value('connections{kind="websocket"}') == 1 and value("batch_rows_sum") > 0 and value("kv_bytes") > 0
    for tries in range(8):  # both questions are answered; the first answer may be whole before the second question begins
        append(w, question() + bytes(48000) + question() + bytes(48000))
        ends = []
        while len(ends) < 2:
            event = w.event()
            if event["type"] == "response.done":
                ends.append(event["response"]["status"])
        if "cancelled" in ends:
            break
    assert ends == ["cancelled", "completed"], ends
    until(lambda: value("barge_in_silence_seconds_count") == 1, "the interruption's silence is not counted")
    assert value("barge_in_total") == 1
    print(f"interrupted: silent after {1000 * value('barge_in_silence_seconds_sum'):.1f} ms", file=sys.stderr)
    w.socket.close()


server = Server(PROGRAM)
server.ask("GET", "/nowhere")
server.ask("GET", "/")
server.ask("DELETE", "/v1/history")
names(server)
a_spoken_turn(server)
names(server)
values = read(server)[2]
assert values['streamomni_requests_total{route="none",code="4xx"}'] == 1 and values['streamomni_requests_total{route="/",code="2xx"}'] == 1
assert values['streamomni_requests_total{route="/v1/history",code="4xx"}'] == 1
status, told = server.end()
assert status == 143 and not told, (status, told)
