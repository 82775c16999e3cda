"""RS256, the signature of Google's service accounts (RFC 7518, section 3.3). Imported where one is used: the library
takes 60 ms to load."""

from collections.abc import Callable

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa


def rs256(pem: str) -> Callable[[bytes], bytes]:
    """What signs with the private key `pem`. ValueError where it is none."""
    try:
        key = serialization.load_pem_private_key(pem.encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ValueError("no private key") from None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ValueError("no RSA key")
    return lambda data: key.sign(data, padding.PKCS1v15(), hashes.SHA256())
