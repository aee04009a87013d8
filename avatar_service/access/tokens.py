"""Bearer tokens: JSON Web Tokens that an identity provider has signed."""

import jwt

from avatar_service.access.identity import TENANT, Identity, Proof
from avatar_service.access.refusals import CredentialRefused, expired, invalid
from avatar_service.access.signing_keys import ALGORITHMS, SigningKeys
from avatar_service.settings import AccessSettings

LEEWAY_S = 30.0
"""How far the clocks of issuer and server may differ."""
LONGEST = 8_192
"""Characters of a token that are looked at."""
_WHYS: tuple[tuple[type[jwt.PyJWTError], str], ...] = (
    (jwt.ImmatureSignatureError, "not_yet_valid"),
    (jwt.InvalidIssuerError, "issuer"),
    (jwt.InvalidAudienceError, "audience"),
    (jwt.InvalidAlgorithmError, "algorithm"),
    (jwt.InvalidSignatureError, "signature"),
    (jwt.InvalidKeyError, "algorithm"),
    (jwt.MissingRequiredClaimError, "claims"),
    (jwt.InvalidTokenError, "malformed"),
)
"""What is wrong with a token, by PyJWT's errors, the special ones first."""


class Tokens:
    """Judges tokens by their signature and claims."""

    def __init__(self, settings: AccessSettings, keys: SigningKeys) -> None:
        self._keys = keys
        self._issuer = settings.jwt_issuer
        self._audience = settings.jwt_audience
        self._tenant_claim = settings.jwt_tenant_claim

    async def identify(self, authorization: str) -> Identity:
        """Whose token the value of `authorization` holds. Raises Unauthenticated or IdentityUnknown."""
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token or len(token) > LONGEST:
            raise invalid(Proof.TOKEN, "malformed")
        try:
            header = jwt.get_unverified_header(token)
            # Before the key is looked for: a token that cannot be good shall cause no fetch.
            if header.get("alg") not in ALGORITHMS:
                raise invalid(Proof.TOKEN, "algorithm")
            key = await self._keys.find(header.get("kid"))
            if key is None:
                raise invalid(Proof.TOKEN, "unknown_key")
            return self._identity(self._claims(token, key))
        except jwt.ExpiredSignatureError:
            raise expired(Proof.TOKEN) from None
        except jwt.PyJWTError as error:
            raise _refused(error) from None
        except (RecursionError, OverflowError):  # JSON that is nested too deeply, numbers without an end
            raise invalid(Proof.TOKEN, "malformed") from None

    def _claims(self, token: str, key: jwt.PyJWK) -> dict[str, object]:
        return jwt.decode(
            token,
            key,
            algorithms=ALGORITHMS,
            audience=self._audience,
            issuer=self._issuer,
            leeway=LEEWAY_S,
            options={"require": ["exp", "iss", "aud"], "enforce_minimum_key_length": True},
        )

    def _identity(self, claims: dict[str, object]) -> Identity:
        subject, tenant, expires = claims.get("sub"), claims.get(self._tenant_claim), claims["exp"]
        subject = subject if isinstance(subject, str) else ""
        if not (isinstance(tenant, str) and TENANT.fullmatch(tenant)):
            raise invalid(Proof.TOKEN, "tenant", subject=subject)
        if not isinstance(expires, int | float):  # PyJWT also takes a number in a string
            raise invalid(Proof.TOKEN, "claims", subject=subject)
        # With the leeway, by which it is judged: a call whose token is still taken does not end at once.
        return Identity(tenant, subject, Proof.TOKEN, expires + LEEWAY_S)


def _refused(error: jwt.PyJWTError) -> CredentialRefused:
    return invalid(Proof.TOKEN, next((why for kind, why in _WHYS if isinstance(error, kind)), "malformed"))
