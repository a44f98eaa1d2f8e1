# Checkpoints as people have them: whole in other ways than usual, or broken in ways that are named; nothing is ever written
# of a broken one. Made from a tiny checkpoint by python.
make=$(dirname "$SO")/tests/make_checkpoint
[ -x "$make" ] || { echo "SKIP: make_checkpoint is not built" >&2; exit 77; }
command -v python3 >/dev/null 2>&1 || { echo "SKIP: python3 is absent" >&2; exit 77; }
$make here --tiny || exit
cat >variants.py <<'END'
import glob, json, os, shutil, struct
src = 'here/model'
def load(p):
    b = open(p, 'rb').read(); n = struct.unpack('<Q', b[:8])[0]; h = json.loads(b[8:8+n]); h.pop('__metadata__', None)
    return {k: (v['dtype'], v['shape'], b[8+n+v['data_offsets'][0]:8+n+v['data_offsets'][1]]) for k, v in h.items()}
def save(p, t, meta={'format': 'pt'}, order=None, pad=True):
    h, at, body = ({'__metadata__': meta} if meta else {}), 0, []
    for k in order or t:
        d, s, b = t[k]; h[k] = {'dtype': d, 'shape': s, 'data_offsets': [at, at+len(b)]}; at += len(b); body.append(b)
    j = json.dumps(h).encode()
    if pad: j += b' ' * (-len(j) % 8)
    open(p, 'wb').write(struct.pack('<Q', len(j)) + j + b''.join(body))
W = {}
for p in sorted(glob.glob(src + '/*.safetensors')): W.update(load(p))
C = json.load(open(src + '/config.json'))
texts = [f for f in os.listdir(src) if f.endswith('.json') and 'index' not in f]
def base(name, tensors=W, config=None, **kw):
    d = 'v/' + name; os.makedirs(d)
    for f in texts: shutil.copy(f'{src}/{f}', d)
    if tensors is not None: save(d + '/model.safetensors', tensors, **kw)
    if config is not None: json.dump({**C, **config}, open(d + '/config.json', 'w'))
    return d
def without(*keys, **more):
    c = {k: v for k, v in C.items() if k not in keys}; c.update(more); return c
def write(name, config, mode='w'):
    d = base(name); open(d + '/config.json', 'w').write(json.dumps(config)) if mode == 'w' else open(d + '/config.json', 'wb').write(config)
raw = open(src + '/config.json', 'rb').read()
# ---- whole
base('single'); base('no_metadata', meta=None, pad=False); base('unordered', order=sorted(W, reverse=True))
base('wide', {k: ('F32', s, b''.join(b'\0\0' + b[i:i+2] for i in range(0, len(b), 2))) if d == 'BF16' else (d, s, b) for k, (d, s, b) in W.items()})
base('inv_freq', {**W, 'model.layers.0.self_attn.rotary_emb.inv_freq': ('F32', [8], b'\0' * 32)})
base('eos_alone', config={'eos_token_id': 701}); base('untied', config={'tie_word_embeddings': False})
base('more_vocabulary', config={'vocab_size': 2000}); base('rope_null', config={'rope_scaling': None})
base('rope_default', config={'rope_scaling': {'rope_type': 'default'}})
base('übersetzt 日本')
rope = {**C['rope_scaling'], 'rope_theta': 500000.0}
write('transformers5', without('rope_scaling', 'rope_theta', 'torch_dtype', rope_parameters=rope, dtype='bfloat16', layer_types=['full_attention'] * 2))
write('crlf', raw.replace(b'\n', b'\r\n'), 'b')
# ---- broken
write('bom', b'\xef\xbb\xbf' + raw, 'b'); write('utf16', raw.decode().encode('utf-16'), 'b'); write('comma', raw.rstrip().rstrip(b'}').rstrip() + b',\n}', 'b')
write('config_html', b'<!DOCTYPE html><html><body>Sign in</body></html>', 'b'); write('config_lfs', b'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n', 'b')
write('config_empty', b'', 'b')
write('yarn', without('rope_scaling', rope_parameters={**rope, 'rope_type': 'yarn'})); write('no_theta', without('rope_theta'))
write('half_rope', without('rope_scaling', rope_scaling={'rope_type': 'llama3', 'factor': 8.0}))
base('tied', {k: v for k, v in W.items() if k != 'lm_head.weight'}); base('tied_flag', config={'tie_word_embeddings': True})
base('packed', config={'quantization_config': {'quant_method': 'bitsandbytes'}})
os.remove(base('no_config') + '/config.json'); os.remove(base('no_tokenizer') + '/tokenizer.json')
base('wrapped', {'module.' + k: v for k, v in W.items()}); base('extra', {**W, 'model.layers.0.lora_A.weight': ('BF16', [4, 64], b'\0' * 512)})
base('empty_tensor', {**W, 'model.layers.0.dummy': ('F32', [0], b'')}); base('f8', {**W, 'model.norm.weight': ('F8_E4M3', [64], b'\0' * 64)})
base('number', meta={'step': 12})
whole = open(base('cut') + '/model.safetensors', 'rb').read(); open('v/cut/model.safetensors', 'wb').write(whole[:len(whole) * 9 // 10])
open(base('cut_head') + '/model.safetensors', 'wb').write(whole[:1000]); open(base('zeros') + '/model.safetensors', 'wb').write(bytes(5000))
open(base('html') + '/model.safetensors', 'w').write('<!DOCTYPE html><html><body>Sign in</body></html>')
open(base('lfs') + '/model.safetensors', 'w').write('version https://git-lfs.github.com/spec/v1\noid sha256:' + '0' * 64 + '\nsize 17591768\n')
open(base('empty') + '/model.safetensors', 'w'); open(base('pickle') + '/model.safetensors', 'wb').write(b'\x80\x02}q\0.' + bytes(90))
os.rename(base('other_name') + '/model.safetensors', 'v/other_name/pytorch_model.safetensors')
os.rename(base('unfinished') + '/model.safetensors', 'v/unfinished/model.safetensors.incomplete')
def shards(name, index=True, drop=None, partial=False, text=None):
    d = base(name, None)
    for p in glob.glob(src + '/model*'): shutil.copy(p, d)
    if drop: os.rename(f'{d}/{drop}', f'{d}/{drop}.part') if partial else os.remove(f'{d}/{drop}')
    if not index: os.remove(d + '/model.safetensors.index.json')
    if text: open(d + '/model.safetensors.index.json', 'wb').write(text)
    return d
second = 'model-00002-of-00005.safetensors'
shards('shards'); shards('shard_missing', drop=second); shards('shard_unfinished', drop=second, partial=True); shards('no_index', index=False)
shards('index_html', text=b'<html><body>Sign in</body></html>'); shards('index_bom', text=b'\xef\xbb\xbf{}')
m = json.load(open(src + '/model.safetensors.index.json')); m['weight_map'][next(k for k, f in m['weight_map'].items() if f == second)] = 'model-00001-of-00005.safetensors'
shards('index_wrong', text=json.dumps(m).encode())
def codec(name, data, file='flow.pt'):
    d = 'v/codec_' + name; shutil.copytree(src, d)
    for p in glob.glob('here/codec/*'): shutil.copy(p, d) if not p.endswith('config.json') else None
    open(f'{d}/{file}', 'wb').write(data)
flow, ears = open('here/codec/flow.pt', 'rb').read(), open('here/codec/speech_tokenizer_v1.onnx', 'rb').read()
codec('cut', flow[:-500]); codec('html', b'<html></html>'); codec('lfs', b'version https://git-lfs.github.com/spec/v1\n'); codec('empty', b'')
codec('ears_cut', ears[:len(ears) // 2], 'speech_tokenizer_v1.onnx'); codec('ears_html', b'<html></html>', 'speech_tokenizer_v1.onnx')
END
mkdir v
python3 variants.py || exit
for d in v/*; do
    printf '%s: ' "${d#v/}"
    timeout 300 $SO convert "$d" -o out.gguf --threads 1 2>&1 | sed 's/^error: //'
    rm -f out.gguf
done
ls out.gguf* 2>/dev/null
echo "== a GGUF that was cut, one that is none"
$SO convert here/model -o whole.gguf --threads 1
head -c 400000 whole.gguf >cut.gguf
head -c 3000 whole.gguf >head.gguf
echo '<html></html>' >html.gguf
for f in cut head html; do $SO inspect $f.gguf; done
echo "== extra tensors left out when asked"
$SO convert v/extra -o extra.gguf --threads 1 --drop-extra 2>&1
echo "== export checks all before the first byte"
$SO convert here/model here/codec -o q.gguf --threads 1 --type q8_0
$SO export q.gguf --as safetensors -o back --threads 1 2>&1
ls back 2>&1
$SO export here/model here/codec --as safetensors -o here/model --threads 1 2>&1
$SO export here/model here/codec --as safetensors -o here --threads 1 2>&1
find here -newer variants.py -type f
mkdir nothing
$SO ask --model q.gguf --codec nothing hello
exit 0
