"""Ed25519 by the rules of ZIP 215 and Ristretto (RFC 9496), in plain integers.

Written for reading and for being independent of every library whose verdict might differ: not for speed, and not for
secrets (nothing here runs in constant time).
"""

from hashlib import sha512

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493  # of the basepoint
D = -121665 * pow(121666, -1, P) % P
SQRT_M1 = pow(2, (P - 1) // 4, P)
IDENTITY = (0, 1, 1, 0)  # extended coordinates X, Y, Z, T with x = X/Z, y = Y/Z, xy = T/Z


def add(p, q):
    """The sum of two points; the formula is complete, so it doubles too."""
    a = (p[1] - p[0]) * (q[1] - q[0]) % P
    b = (p[1] + p[0]) * (q[1] + q[0]) % P
    c = 2 * p[3] * q[3] * D % P
    d = 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def multiply(scalar, point):
    result = IDENTITY
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point = add(point, point)
        scalar >>= 1
    return result


def negate(point):
    return (-point[0] % P, point[1], point[2], -point[3] % P)


def is_identity(point):
    return point[0] % P == 0 and (point[1] - point[2]) % P == 0


def sqrt_ratio(u, v):
    """(True, sqrt(u/v)) if that exists, else (False, sqrt(i*u/v)); the root is the even one."""
    r = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    check = v * r * r % P
    if check in (-u % P, -u * SQRT_M1 % P):
        r = r * SQRT_M1 % P
    square = check in (u % P, -u % P)
    return square, (P - r if r & 1 else r)


def decompress(encoded):
    """The Edwards point of 32 bytes, or None. As ZIP 215 has it, y may be P or above, and the sign of 0 is free."""
    number = int.from_bytes(encoded, "little")
    sign, y = number >> 255, (number & (1 << 255) - 1) % P
    square, x = sqrt_ratio(y * y - 1, D * y * y + 1)
    if not square:
        return None
    if x & 1 != sign:
        x = -x % P
    return (x, y, 1, x * y % P)


def compress(point):
    inverse = pow(point[2], -1, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


BASE = decompress((4 * pow(5, -1, P) % P).to_bytes(32, "little"))


def verify_zip215(key, message, signature):
    """Whether the Ed25519 signature is valid: [8](sB - R - kA) = 0 with s below the order."""
    a, r, s = decompress(key), decompress(signature[:32]), int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= ORDER:
        return False
    k = int.from_bytes(sha512(signature[:32] + key + message).digest(), "little") % ORDER
    difference = add(multiply(s, BASE), negate(add(r, multiply(k, a))))
    return is_identity(multiply(8, difference))


def key_flaw(key):
    """Why a key may not enter the state: 'not_a_point', 'not_canonical' or 'small_order'; None if it may."""
    point = decompress(key)
    if point is None:
        return "not_a_point"
    if compress(point) != key:
        return "not_canonical"
    return "small_order" if is_identity(multiply(8, point)) else None


def is_torsion_free(key):
    return is_identity(multiply(ORDER, decompress(key)))


def public_key(seed):
    """The Ed25519 public key of a private key (RFC 8032)."""
    scalar = int.from_bytes(sha512(seed).digest()[:32], "little")
    return compress(multiply(scalar & (1 << 254) - 8 | 1 << 254, BASE))


def ristretto_decode(encoded):
    """A representative of the Ristretto element of 32 bytes, or None if they are not its canonical encoding."""
    s = int.from_bytes(encoded, "little")
    if s >= P or s & 1:
        return None
    u1, u2 = (1 - s * s) % P, (1 + s * s) % P
    v = (-D * u1 * u1 - u2 * u2) % P
    square, root = sqrt_ratio(1, v * u2 * u2)
    den_x, den_y = root * u2 % P, root * root * u2 * v % P
    x = 2 * s * den_x % P
    x = P - x if x & 1 else x
    y = u1 * den_y % P
    t = x * y % P
    return None if not square or t & 1 or y == 0 else (x, y, 1, t)


def ristretto_equal(p, q):
    return (p[0] * q[1] - p[1] * q[0]) % P == 0 or (p[1] * q[1] - p[0] * q[0]) % P == 0


def verify_schnorr(key, challenge, proof):
    """Whether R, s proves knowledge of the Ristretto key's secret: sG = R + cK, K not the identity."""
    k, r, s = ristretto_decode(key), ristretto_decode(proof[:32]), int.from_bytes(proof[32:], "little")
    if k is None or r is None or s >= ORDER or not any(key):
        return False
    return ristretto_equal(multiply(s, BASE), add(r, multiply(challenge, k)))
