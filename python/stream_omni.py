"""stream-omni from Python: one file over the installed library, arrays of NumPy in and out, nothing to build.

    import stream_omni
    model = stream_omni.Model("models/tabletop.gguf")
    talk = model.session()
    talk.see(picture)                      # uint8 [height, width, 3]
    talk.hear(samples, 16000)              # float [n], mono, at any rate; may be called as sound arrives
    answer = talk.reply(voice=True)        # answer.text, answer.heard, answer.words, answer.pcm (22050 Hz), answer.units
    for event in talk.events(voice=True):  # the same, piece by piece

    talk = model.session(clones=1)         # in the voice of a recording, where the model has CAM++
    talk.use(model.voice("ada", (samples, 16000)))

    model.transcribe(samples, 16000)       # what is said, with the time of each word
    model.units(samples, 16000)            # speech units, int32 [n], 25 a second
    model.speech(units)                    # float [n], 22050 Hz

The library is libstream_omni.so (STREAM_OMNI_LIB, else beside this file, else where the system finds it); its header so.h
(STREAM_OMNI_INCLUDE, else ../include of the library) is read for the layout of its structs, so that both always agree. A session is
used by one thread at a time. Needs Python 3.9 and NumPy.

SPDX-License-Identifier: Apache-2.0
"""
import collections
import ctypes as c
import ctypes.util
import os
import re

import numpy as np

RATE = 22050  # Hz of voices
WANT_TEXT, WANT_VOICE, WANT_UNITS = 1, 2, 4


class Error(RuntimeError):
    """What the library says; `status` is the number of so_status.h."""

    def __init__(self, status, text):
        super().__init__(text)
        self.status = status


# ---- the library and its header


def _find():
    here = os.path.dirname(os.path.abspath(__file__))
    name = "libstream_omni.so"
    places = [os.environ.get("STREAM_OMNI_LIB"), os.path.join(here, name)]
    places += [os.path.join(here, up, "lib", name) for up in ("..", "../..", "../../..")]
    places += [os.path.join(root, "lib", name) for root in ("/usr/local", "/usr")] + [ctypes.util.find_library("stream_omni")]
    for place in places:
        if place and (os.path.exists(place) or "/" not in place):
            return place
    raise ImportError("libstream_omni.so is not there: install stream-omni with its library (cmake -DSO_SHARED=ON), or set STREAM_OMNI_LIB")


def _find_header(library):
    near = os.path.dirname(os.path.abspath(library))
    places = [os.environ.get("STREAM_OMNI_INCLUDE")] + [os.path.join(near, up, "include") for up in ("..", "../..")]
    places += ["/usr/local/include", "/usr/include"]
    for place in places:
        if place and os.path.exists(os.path.join(place, "so.h")):
            return place
    raise ImportError("so.h is not there: set STREAM_OMNI_INCLUDE to its folder")


_BASE = {"int": c.c_int, "char": c.c_char, "double": c.c_double, "float": c.c_float, "size_t": c.c_size_t, "int64_t": c.c_int64,
         "uint64_t": c.c_uint64, "int32_t": c.c_int32, "uint8_t": c.c_uint8, "int16_t": c.c_int16}


def _layouts(folder):
    """Every struct of the header as a ctypes.Structure, and every name of an enumeration."""
    text = "".join(open(os.path.join(folder, name), encoding="utf-8").read() for name in ("so_status.h", "so.h"))
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.S)
    text = re.sub(r"^\s*#.*?(?<!\\)$", "", text, flags=re.M)
    types, numbers = dict(_BASE), {}
    for found in re.finditer(r"typedef (enum|struct) \w+ \{(.*?)\} (\w+);|\b(enum) \{([^}]*)\};", text, flags=re.S):
        kind, body, name = found[1] or found[4], found[2] or found[5], found[3]
        if kind == "enum":
            value = 0
            for item in filter(None, (x.strip() for x in body.split(","))):
                label, _, given = item.partition("=")
                value = int(given) if given else value
                numbers[label.strip()] = value
                value += 1
            if name:
                types[name] = c.c_int
            continue
        fields = []
        for line in filter(None, (x.strip() for x in body.split(";"))):
            if "(*" in line:
                fields.append((re.search(r"\(\*(\w+)\)", line)[1], c.c_void_p))
                continue
            line = re.sub(r"\b(const|struct)\b", " ", line)
            base, rest = line.split(None, 1) if "*" not in line.split(None, 1)[0] else re.match(r"(\w+)(\*.*)", line.replace(" ", ""), re.S).groups()
            for item in rest.split(","):
                stars, label, size = re.match(r"\s*([*\s]*)(\w+)(?:\[(\w+)\])?", item).groups()
                kind = c.c_void_p if "*" in stars else types.get(base)
                if "*" in stars and base == "char" and stars.count("*") == 1:
                    kind = c.c_char_p
                if size:
                    kind = kind * (int(size) if size.isdigit() else numbers[size])
                fields.append((label, kind))
        types[name] = type(name, (c.Structure,), {"_fields_": fields})
    return types, numbers


_path = _find()
_lib = c.CDLL(_path)
_types, _numbers = _layouts(_find_header(_path))
_Error, _Event, _Reply = _types["so_error"], _types["so_event"], _types["so_reply_options"]
_EVENT = {value: name[len("SO_EVENT_"):].lower() for name, value in _numbers.items() if name.startswith("SO_EVENT_")}
_NOTHING_HEARD = _numbers["SO_ERR_NOTHING_HEARD"]


def _call(name, *arguments):
    error = _Error()
    status = getattr(_lib, name)(*arguments, c.byref(error))
    if status:
        raise Error(status, error.text.decode("utf-8", "replace"))


def _fill(kind, options):
    """A struct of options from keywords: names are those of the header."""
    struct = _types[kind]()
    names = {name for name, _ in struct._fields_}
    for name, value in options.items():
        if name not in names:
            raise TypeError(f"no option {name!r}; {kind} has {', '.join(sorted(names))}")
        setattr(struct, name, value.encode() if isinstance(value, str) else int(value) if isinstance(value, bool) else value)
    return struct


def _pcm(samples):
    samples = np.ascontiguousarray(samples)
    if samples.ndim != 1:
        raise ValueError(f"samples of shape {samples.shape}, expected mono [n]")
    if samples.dtype.kind == "i":
        return samples.astype(np.float32) / np.iinfo(samples.dtype).max
    return np.ascontiguousarray(samples, np.float32)


def _taken(pointer, n, kind):
    """A copy of n numbers at an address."""
    if not n:
        return np.empty(0, kind)
    return np.frombuffer((c.c_char * (n * np.dtype(kind).itemsize)).from_address(pointer), kind).copy()


# ---- what comes out

Word = collections.namedtuple("Word", "text begin end")
Token = collections.namedtuple("Token", "text id logprob likeliest")
Transcript = collections.namedtuple("Transcript", "text words")


class Event:
    """kind: "heard", "text", "units", "voice", "done", "forgot", "failed"; the others as they apply."""

    def __init__(self, raw):
        self.kind = _EVENT[raw.kind]
        text = raw.text or b""
        self.text = text.decode("utf-8", "replace")
        self.final, self.begin, self.end = bool(raw.final), raw.begin_s, raw.end_s
        self.pcm = _taken(raw.pcm, raw.samples, np.float32)
        self.units = _taken(raw.units, raw.n_units, np.int32)
        self.words = [Word(text[w.text_begin:w.text_end].decode("utf-8", "replace"), w.begin_s, w.end_s)
                      for w in self._list(raw.words, raw.n_words, "so_heard_word")]
        self.tokens = [self._token(t) for t in self._list(raw.logprobs, raw.n_logprobs, "so_token_logprob")]
        self.usage = {name: getattr(raw.usage, name) for name, _ in raw.usage._fields_} if self.kind == "done" else None

    @staticmethod
    def _list(pointer, n, kind):
        return (_types[kind] * n).from_address(pointer) if n else ()

    @classmethod
    def _token(cls, t):
        likeliest = [cls._token(x) for x in cls._list(t.likeliest, t.n_likeliest, "so_token_logprob")]
        return Token(c.string_at(c.cast(t.text, c.c_void_p), t.bytes) if t.bytes else b"", t.id, t.logprob, likeliest)


class Answer:
    """All of an answer: text, heard (the transcript of the question), words with times, pcm, units, tokens, usage."""

    def __init__(self):
        self.text, self.heard, self.words, self.tokens, self.usage = "", "", [], [], None
        self.pcm, self.units = np.empty(0, np.float32), np.empty(0, np.int32)

    def add(self, event):
        if event.kind == "heard":
            self.heard, self.words = event.text, event.words
        elif event.kind == "text":
            self.text += event.text
            self.tokens += event.tokens
        elif event.kind == "voice":
            self.pcm = np.concatenate([self.pcm, event.pcm])
        elif event.kind == "units":
            self.units = np.concatenate([self.units, event.units])
        elif event.kind == "done":
            self.usage = event.usage


# ---- models and sessions


class Model:
    """A GGUF file, or a folder in the published layout. Options are the fields of so_model_options: threads=2, bf16=True, ..."""

    def __init__(self, path, **options):
        self._model = c.c_void_p()
        _call("so_model_open", c.byref(self._model), os.fsencode(path), c.byref(_fill("so_model_options", options)))

    @property
    def about(self):
        info = _types["so_model_info"]()
        _lib.so_model_about(self._model, c.byref(info))
        return {n: v.decode() if isinstance(v := getattr(info, n), bytes) else v for n, _ in info._fields_}

    def session(self, **options):
        """A conversation. Options are the fields of so_session_options: system="...", seed=3, temperature=0.7, ..."""
        return Session(self, options)

    def units(self, samples, rate):
        samples, n = _pcm(samples), c.c_size_t()
        room = np.empty(len(samples) * 25 // int(rate) + 64, np.int32)
        _call("so_tokenize_speech", self._model, samples.ctypes, c.c_size_t(len(samples)), int(rate), room.ctypes,
              c.c_size_t(len(room)), c.byref(n))
        return room[:n.value].copy()

    def speech(self, units, seed=0):
        units = np.ascontiguousarray(units, np.int32)
        pcm, n = c.c_void_p(), c.c_size_t()
        _call("so_synthesize", self._model, units.ctypes, c.c_size_t(len(units)), c.c_uint64(seed), c.byref(pcm), c.byref(n))
        out = _taken(pcm.value, n.value, np.float32)
        _lib.so_free(pcm)
        return out

    def voice(self, name, *recordings):
        """A voice made of (samples, rate) recordings of one person; the model needs CAM++. A path: one that was kept."""
        return Voice(self, name, recordings)

    def transcribe(self, samples, rate, **options):
        with self.session(**options) as talk:
            talk.hear(samples, rate)
            answer = talk.reply(max_text=1)
        return Transcript(answer.heard, answer.words)

    def close(self):
        if self._model:
            _lib.so_model_close(c.byref(self._model))

    __del__ = close

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Voice:
    """Model.voice makes them; Session.use speaks with them, in sessions that were opened with clones=1."""

    def __init__(self, model, name, recordings):
        self._clone = c.c_void_p()
        if not recordings:
            _call("so_clone_load", c.byref(self._clone), os.fsencode(name))
            return
        kind = _types["so_clone_sound"]
        sounds, kept = (kind * len(recordings))(), [_pcm(samples) for samples, _ in recordings]
        for sound, samples, (_, rate) in zip(sounds, kept, recordings):
            sound.pcm, sound.samples, sound.rate = samples.ctypes.data, len(samples), int(rate)
        _call("so_clone_make", c.byref(self._clone), model._model, name.encode(), sounds, c.c_size_t(len(sounds)))

    @property
    def about(self):
        info = _types["so_clone_info"]()
        _lib.so_clone_about(self._clone, c.byref(info))
        return {n: v.decode() if isinstance(v := getattr(info, n), bytes) else v for n, _ in info._fields_}

    def save(self, path):
        _call("so_clone_save", self._clone, os.fsencode(path))

    def close(self):
        if self._clone:
            _lib.so_clone_close(c.byref(self._clone))

    __del__ = close


class Session:
    def __init__(self, model, options):
        self._model = model  # which must live as long
        self._session = c.c_void_p()
        _call("so_session_open", c.byref(self._session), model._model, c.byref(_fill("so_session_options", options)))

    # -- feeding
    def see(self, picture):
        picture = np.ascontiguousarray(picture)
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
            raise ValueError(f"a picture of {picture.dtype} {picture.shape}, expected uint8 [height, width, 3]")
        _call("so_feed_image", self._session, picture.ctypes, picture.shape[1], picture.shape[0])

    def hear(self, samples, rate):
        samples = _pcm(samples)
        _call("so_feed_audio", self._session, samples.ctypes, c.c_size_t(len(samples)), int(rate))

    def hear_units(self, units):
        units = np.ascontiguousarray(units, np.int32)
        _call("so_feed_units", self._session, units.ctypes, c.c_size_t(len(units)))

    def say(self, text):
        """Words of the user."""
        _call("so_feed_text", self._session, text.encode())

    def next(self):
        """What is ready while feeding; None when nothing is."""
        raw = _Event()
        _call("so_next", self._session, c.byref(raw))
        return Event(raw) if raw.kind else None

    def use(self, voice):
        """Answers have this voice from now on; None: the model's own."""
        _call("so_session_voice", self._session, voice._clone if voice else None)

    # -- answers
    def events(self, voice=False, units=False, **options):
        """Ends the user's turn and yields events until "done". Options are the fields of so_reply_options: logprobs=True,
        likeliest=5, seed=1, max_text=100, ..."""
        want = WANT_TEXT | (WANT_VOICE if voice else 0) | (WANT_UNITS if units else 0)
        error = _Error()
        status = _lib.so_reply_with(self._session, want, c.byref(_fill("so_reply_options", options)), c.byref(error))
        if status not in (0, _NOTHING_HEARD):
            raise Error(status, error.text.decode("utf-8", "replace"))
        while True:
            raw = _Event()
            _call("so_next", self._session, c.byref(raw))
            if raw.kind:
                event = Event(raw)
                yield event
                if event.kind in ("done", "failed"):
                    return
            elif status:  # nothing was heard, and all is told
                return

    def reply(self, voice=False, units=False, **options):
        answer = Answer()
        for event in self.events(voice, units, **options):
            answer.add(event)
        return answer

    def stop(self):
        """From any thread."""
        _lib.so_session_stop(self._session)

    def clear(self):
        _call("so_session_clear", self._session)

    def close(self):
        if self._session:
            _lib.so_session_close(c.byref(self._session))

    __del__ = close

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
