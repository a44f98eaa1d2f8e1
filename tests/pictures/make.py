# Makes the small pictures of this folder and what Pillow reads of them: pip install pillow pillow-heif numpy; python make.py
# list.txt: file, expected PNG, pictures in the file, largest difference of a value allowed (of lossy forms).
# SPDX-License-Identifier: Apache-2.0
import glob, io, os, struct, zlib

import numpy as np
import pillow_heif
from PIL import Image, ImageOps, PngImagePlugin

pillow_heif.register_heif_opener()
os.chdir(os.path.dirname(os.path.abspath(__file__)))
for old in glob.glob('*.*'):
    if not old.endswith('.py'):
        os.remove(old)

W, H = 29, 17
y, x = np.mgrid[0:H, 0:W]
base = np.stack([x * 255 // (W - 1), y * 255 // (H - 1), (x * 5 + y * 9) % 256], 2).astype('u1')
base[3:9, 4:12] = (220, 30, 40)
im = Image.fromarray(base)
alpha = np.where((x + y) % 7 < 3, 0, np.where(x % 5 == 0, 128, 255)).astype('u1')
rgba = Image.fromarray(np.dstack([base, alpha]))
flags = Image.fromarray(((x // 3 + y // 2) % 2 * 255).astype('u1')).convert('1')
lines, shown = [], {}


def on_white(picture):
    a = np.asarray(picture.convert('RGBA')).astype(int)
    c, t = a[..., :3], a[..., 3:]
    return ((c * t + 255 * (255 - t) + 127) // 255).astype('u1')


def expect(name, pixels, frames=1, bar=0):
    key = pixels.tobytes() + bytes(str(pixels.shape), 'ascii')
    if key not in shown:
        shown[key] = f'expected{len(shown)}.png'
        Image.fromarray(pixels).save(shown[key], optimize=True)
    lines.append(f'{name} {shown[key]} {frames} {bar}\n')


def put(name, data, pixels=None, frames=1, bar=0):
    """Writes a file; what it should be read as is Pillow's reading unless told."""
    open(name, 'wb').write(data)
    if pixels is None:
        picture = Image.open(io.BytesIO(data))
        pixels = on_white(ImageOps.exif_transpose(picture))
    expect(name, pixels, frames, bar)


def saved(picture, form, **options):
    out = io.BytesIO()
    picture.save(out, form, **options)
    return out.getvalue()


# ---- GIF
put('plain.gif', saved(im.quantize(40), 'GIF'))
put('interlaced.gif', saved(im.quantize(200), 'GIF', interlace=1))
put('clear.gif', saved(im.quantize(63), 'GIF', transparency=5))
put('two.gif', saved(flags, 'GIF'))
many = [im.quantize(30), ImageOps.mirror(im).quantize(30), ImageOps.flip(im).quantize(30)]
put('animation.gif', saved(many[0], 'GIF', save_all=True, append_images=many[1:], duration=100), frames=3)
noisy = Image.fromarray(np.random.default_rng(1).integers(0, 256, (70, 70), dtype='u1'))  # fills the table of codes
put('full.gif', saved(noisy, 'GIF'))


# ---- BMP
def bmp(w, h, bits, rows, way=0, masks=b'', palette=b'', head=40, extra=b''):
    info = struct.pack('<IiiHHIIiiII', head, w, h, 1, bits, way, len(rows), 0, 0, len(palette) // 4, 0) + masks + extra
    return b'BM' + struct.pack('<IHHI', 14 + len(info) + len(palette) + len(rows), 0, 0, 14 + len(info) + len(palette)) + info + palette + rows


def packed(a, bits):  # rows of indices, the lowest first, in whole words
    out = b''
    for row in a[::-1]:
        b = np.unpackbits(row.astype('u1')[:, None], axis=1)[:, 8 - bits:].ravel()
        b = np.packbits(b).tobytes()
        out += b + b'\0' * (-len(b) % 4)
    return out


def colours(picture, n):
    q = picture.quantize(n)
    p = np.asarray(q.getpalette()[:3 * n]).reshape(-1, 3)
    p = np.vstack([p, np.zeros((n - len(p), 3), int)]).astype('u1')
    return np.asarray(q), b''.join(bytes([int(c[2]), int(c[1]), int(c[0]), 0]) for c in p)


put('rgb24.bmp', saved(im, 'BMP'))
put('grey8.bmp', saved(im.convert('L'), 'BMP'))
put('one.bmp', saved(flags, 'BMP'))
index, palette = colours(im, 16)
put('four.bmp', bmp(W, H, 4, packed(index, 4), palette=palette))
top = b''.join(r[:, ::-1].tobytes() + b'\0' * (-3 * W % 4) for r in base)
put('topdown.bmp', bmp(W, -H, 24, top))
wide = base.astype('<u2')
v565 = (wide[..., 0] >> 3 << 11 | wide[..., 1] >> 2 << 5 | wide[..., 2] >> 3).astype('<u2')
put('rgb565.bmp', bmp(W, H, 16, b''.join(r.tobytes() + b'\0' * (-2 * W % 4) for r in v565[::-1]), 3,
                      struct.pack('<III', 0xf800, 0x7e0, 0x1f)))
v555 = (wide[..., 0] >> 3 << 10 | wide[..., 1] >> 3 << 5 | wide[..., 2] >> 3).astype('<u2')
put('rgb555.bmp', bmp(W, H, 16, b''.join(r.tobytes() + b'\0' * (-2 * W % 4) for r in v555[::-1])))
bgra = np.dstack([base[..., ::-1], alpha])
v4 = struct.pack('<IIII', 0xff0000, 0xff00, 0xff, 0xff000000) + b'BGRs' + b'\0' * 48
put('alpha.bmp', bmp(W, H, 32, bgra[::-1].tobytes(), 3, v4, head=108))
bgrx = np.dstack([base[..., ::-1], np.zeros_like(alpha)])
put('rgb32.bmp', bmp(W, H, 32, bgrx[::-1].tobytes()))
put('noalpha.bmp', bmp(W, H, 32, bgrx[::-1].tobytes(), 3, v4, head=108), base)  # Pillow shows nothing of it
core = b''.join(r[:, ::-1].tobytes() + b'\0' * (-3 * W % 4) for r in base[::-1])
put('os2.bmp', b'BM' + struct.pack('<IHHI', 26 + len(core), 0, 0, 26) + struct.pack('<IHHHH', 12, W, H, 1, 24) + core)


def rle8(a):
    out = b''
    for row in a[::-1]:
        at = 0
        while at < len(row):
            n = 1
            while at + n < len(row) and row[at + n] == row[at] and n < 255:
                n += 1
            if n > 1 or len(row) - at < 3:
                out += bytes([n, row[at]])
            else:
                n = min(7, len(row) - at)
                out += bytes([0, n]) + row[at:at + n].tobytes() + b'\0' * (n % 2)
            at += n
        out += b'\0\0'
    return out + b'\0\1'


index, palette = colours(im, 200)
put('rle8.bmp', bmp(W, H, 8, rle8(index), 1, palette=palette))
index, palette = colours(im, 16)
out = b''
for row in index[::-1]:  # pairs in runs of two, the rest literally
    at = W - 5
    for k in range(0, at, 2):
        out += bytes([2, row[k] << 4 | row[k + 1]])
    n = W - at
    half = [row[k] << 4 | (row[k + 1] if k + 1 < W else 0) for k in range(at, W, 2)]
    out += bytes([0, n]) + bytes(half) + b'\0' * (len(half) % 2) + b'\0\0'
put('rle4.bmp', bmp(W, H, 4, out + b'\0\1', 2, palette=palette))

# ---- PNM; Pillow knows neither PAM nor 16-bit grey as grey
head = f'{W} {H}'
put('bits.pbm', saved(flags, 'PPM'))
ones = '\n'.join(''.join('0' if v else '1' for v in row) for row in np.asarray(flags))
put('text.pbm', f'P1\n# a comment\n{head}\n{ones}\n'.encode())
grey = np.asarray(im.convert('L'))
put('text.pgm', (f'P2 {head} 255\n' + '\n'.join(' '.join(map(str, row)) for row in grey)).encode())
put('text.ppm', (f'P3\n{head}\n255\n' + '\n'.join(' '.join(map(str, row.ravel())) for row in base)).encode())
put('deep.ppm', f'P6 {head} 65535\n'.encode() + (base.astype('>u2') * 257).tobytes(), base)
put('deep.pgm', f'P5 {head} 65535\n'.encode() + (grey.astype('>u2') * 257).tobytes(), np.dstack([grey] * 3))
kinds = [('bw', 1, 1, np.asarray(flags).astype('u1')[..., None], 'BLACKANDWHITE'), ('grey', 1, 255, grey[..., None], 'GRAYSCALE'),
         ('greyalpha', 2, 255, np.dstack([grey, alpha]), 'GRAYSCALE_ALPHA'), ('rgb', 3, 255, base, 'RGB'),
         ('rgba', 4, 255, np.dstack([base, alpha]), 'RGB_ALPHA')]
for name, depth, most, a, kind in kinds:
    pam = f'P7\nWIDTH {W}\nHEIGHT {H}\n# a comment\nDEPTH {depth}\nMAXVAL {most}\nTUPLTYPE {kind}\nENDHDR\n'.encode()
    full = (a.astype(int) * 255 // most).astype('u1')
    full = full if depth > 2 else np.dstack([full[..., 0]] * 3 + ([full[..., 1]] if depth == 2 else []))
    put(f'{name}.pam', pam + a.tobytes(), on_white(Image.fromarray(full)))

# ---- TIFF
for way in ('raw', 'packbits', 'tiff_lzw', 'tiff_adobe_deflate'):
    put(f'{way.split("_")[-1]}.tif', saved(im, 'TIFF', compression=way))
put('grey.tif', saved(im.convert('L'), 'TIFF'))
put('palette.tif', saved(im.quantize(60), 'TIFF'))
put('fax.tif', saved(flags, 'TIFF', compression='group4'))
put('jpeg.tif', saved(im, 'TIFF', compression='jpeg', quality=95), bar=3)
put('alpha.tif', saved(rgba, 'TIFF'), bar=1)
put('cmyk.tif', saved(im.convert('CMYK'), 'TIFF'), bar=2)
put('pages.tif', saved(im, 'TIFF', save_all=True, append_images=[ImageOps.mirror(im), im]), frames=3)


def tiff16(a, order='<'):
    h, w = a.shape[:2]
    c = 1 if a.ndim == 2 else a.shape[2]
    data = a.astype(order + 'u2').tobytes()
    tags = [(256, 3, 1, w), (257, 3, 1, h), (258, 3, 1, 16), (259, 3, 1, 1), (262, 3, 1, 2 if c == 3 else 1), (273, 4, 1, 8),
            (277, 3, 1, c), (278, 3, 1, h), (279, 4, 1, len(data))]
    at = 8 + len(data)
    if c == 3:
        tags[2] = (258, 3, 3, at)
        data += struct.pack(order + '3H', 16, 16, 16) + b'\0\0'
        at += 8
    out = (b'II*\0' if order == '<' else b'MM\0*') + struct.pack(order + 'I', at) + data + struct.pack(order + 'H', len(tags))
    for tag, kind, n, value in tags:
        out += struct.pack(order + 'HHI', tag, kind, n)
        out += struct.pack(order + 'HH', value, 0) if kind == 3 and n == 1 else struct.pack(order + 'I', value)
    return out + struct.pack(order + 'I', 0)


put('deep.tif', tiff16(base.astype(int) * 257), base)
put('deepgrey.tif', tiff16(grey.astype(int) * 257, '>'), np.dstack([grey] * 3))

# ---- orientation, stored so that a viewer shows the original
turn = [None, Image.FLIP_LEFT_RIGHT, Image.ROTATE_180, Image.FLIP_TOP_BOTTOM, Image.TRANSPOSE, Image.ROTATE_90, Image.TRANSVERSE,
        Image.ROTATE_270]
for o in range(1, 9):
    stored = im if turn[o - 1] is None else im.transpose(turn[o - 1])
    exif = Image.Exif()
    exif[0x112] = o
    put(f'turn{o}.tif', saved(stored, 'TIFF', tiffinfo={274: o}, compression='tiff_lzw'), base)
    if o in (3, 6):
        put(f'turn{o}.webp', saved(stored, 'WEBP', lossless=True, exif=exif), base)
        put(f'turn{o}.png', saved(stored, 'PNG', exif=exif), base)
        put(f'turn{o}.jpg', saved(stored, 'JPEG', quality=95, subsampling=0, exif=exif), bar=2)

# as ImageMagick wrote it before PNG had a chunk for it, and with that chunk behind the pixels
stored = im.transpose(turn[5])
exif = Image.Exif()
exif[0x112] = 6
block = exif.tobytes()
raw = '\nexif\n%8d\n' % len(block) + '\n'.join(block.hex()[i:i + 72] for i in range(0, 2 * len(block), 72)) + '\n'
text = PngImagePlugin.PngInfo()
text.add_text('Raw profile type exif', raw, zip=True)
put('turn6_text.png', saved(stored, 'PNG', pnginfo=text), base)
plain = saved(stored, 'PNG')
chunk = b'eXIf' + block[6:]
chunk = struct.pack('>I', len(chunk) - 4) + chunk + struct.pack('>I', zlib.crc32(chunk))
put('turn6_behind.png', plain[:-12] + chunk + plain[-12:], base)

# ---- animations
mirrored = ImageOps.mirror(im)
put('animation.webp', saved(im, 'WEBP', save_all=True, append_images=[mirrored], duration=100, lossless=True), base, frames=2)
put('animation.png', saved(im, 'PNG', save_all=True, append_images=[mirrored], duration=100), base, frames=2)
put('alpha.webp', saved(rgba, 'WEBP', lossless=True, exact=True))

# ---- HEIC and AVIF: 4:4:4 and near lossless, so that another version of the decoders reads the same within the bar
even = im.resize((32, 32))
exif = Image.Exif()
exif[0x112] = 6
put('photo.heic', saved(even, 'HEIF', quality=90, chroma=444), bar=4)
put('turn6.heic', saved(even.transpose(Image.ROTATE_90), 'HEIF', quality=90, chroma=444, exif=exif), bar=4)
put('photo.avif', saved(even, 'AVIF', quality=95, subsampling='4:4:4'), bar=4)
square = even.resize((16, 16))
put('animation.avif', saved(square, 'AVIF', save_all=True, append_images=[ImageOps.mirror(square)] * 4, duration=100, quality=95,
                            subsampling='4:4:4'), frames=5, bar=4)
put('alpha.heic', saved(rgba.resize((32, 32)), 'HEIF', quality=100, chroma=444), bar=12)

open('list.txt', 'w').writelines(lines)
