"""The errors of credentials that are not taken. The caller learns whether its credential has expired; all else that is
wrong with it is told to the audit log alone, by one of the words here."""

from avatar_service.access.identity import Proof
from avatar_service.errors import Unauthenticated

WHYS = {
    Proof.NONE: ("missing", "several"),
    Proof.TOKEN: (
        "malformed",
        "algorithm",
        "unknown_key",
        "signature",
        "issuer",
        "audience",
        "expired",
        "not_yet_valid",
        "claims",
        "tenant",
    ),
    Proof.KEY: ("unknown", "revoked", "expired"),
    Proof.CERTIFICATE: ("no_tenant", "forwarded_malformed"),
}
"""What may be wrong with a credential, by its kind."""


class CredentialRefused(Unauthenticated):
    """A credential of a kind that this server takes, and not a good one."""

    def __init__(
        self, message: str, *, reason: str, proof: Proof, why: str, subject: str = "", tenant: str = ""
    ) -> None:
        assert why in WHYS[proof], why
        super().__init__(message, reason=reason, why=why)
        self.proof = proof
        self.subject = subject
        self.tenant = tenant


def missing(kinds: str) -> CredentialRefused:
    """There is none; `kinds` says what would be taken."""
    return CredentialRefused(
        f"this server asks for a credential: {kinds}", reason="CREDENTIAL_MISSING", proof=Proof.NONE, why="missing"
    )


def invalid(proof: Proof, why: str, *, subject: str = "", tenant: str = "") -> CredentialRefused:
    """It is not one of this server's, or not any more. `subject` and `tenant` where it is known whose it was."""
    return CredentialRefused(
        "the credential is not valid for this server; ask whoever issued it",
        reason="CREDENTIAL_INVALID",
        proof=proof,
        why=why,
        subject=subject,
        tenant=tenant,
    )


def expired(proof: Proof, *, subject: str = "", tenant: str = "") -> CredentialRefused:
    """It was good."""
    return CredentialRefused(
        "the credential has expired; get another one, a session can be resumed with it",
        reason="CREDENTIAL_EXPIRED",
        proof=proof,
        why="expired",
        subject=subject,
        tenant=tenant,
    )
