"""Who issues tokens: keys of its own, the JWK set that tells the public ones, and tokens good and bad."""

import base64
import hashlib
import hmac
import json
import time
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

ISSUER = "https://issuer.example"
AUDIENCE = "avatar"

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def private_key(algorithm: str) -> PrivateKey:
    """A key for signatures of this kind."""
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    if algorithm.startswith("ES"):
        return ec.generate_private_key(ec.SECP256R1())
    return rsa.generate_private_key(public_exponent=65_537, key_size=2_048)


@dataclass
class Issuer:
    """Signs tokens with the key that it made last."""

    algorithm: str = "ES256"
    keys: dict[str, PrivateKey] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.new_key()

    @property
    def key_id(self) -> str:
        """The name of the present key."""
        return list(self.keys)[-1]

    def new_key(self) -> None:
        """Sign with another key from here on; the old ones stay in the set."""
        self.keys[f"key-{len(self.keys) + 1}"] = private_key(self.algorithm)

    def jwks(self) -> str:
        """The set of public keys."""
        algorithm: Any = jwt.get_algorithm_by_name(self.algorithm)
        keys = [
            {**json.loads(algorithm.to_jwk(key.public_key())), "kid": key_id, "alg": self.algorithm, "use": "sig"}
            for key_id, key in self.keys.items()
        ]
        return json.dumps({"keys": keys})

    def token(self, headers: dict[str, Any] | None = None, **claims: Any) -> str:
        """A token of the tenant `shop`, but for these claims; None leaves one out."""
        now_s = int(time.time())
        usual = {"iss": ISSUER, "aud": AUDIENCE, "sub": "web", "tenant": "shop", "exp": now_s + 600, "nbf": now_s - 5}
        kept = {name: value for name, value in (usual | claims).items() if value is not None}
        key = self.keys[self.key_id]
        return jwt.encode(kept, key, self.algorithm, headers={"kid": self.key_id} | (headers or {}))

    def forged(self, algorithm: str) -> str:
        """A token with the claims of a good one, whose signature is nobody's: `none`, or made with the public key."""
        head = _part({"alg": algorithm, "typ": "JWT", "kid": self.key_id})
        signed = f"{head}.{self.token().split('.')[1]}"
        if algorithm == "none":
            return f"{signed}."
        public = self.keys[self.key_id].public_key()
        secret = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        return f"{signed}.{_base64(hmac.new(secret, signed.encode(), hashlib.sha256).digest())}"


def _part(content: dict[str, str]) -> str:
    return _base64(json.dumps(content).encode())


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
