"""Certificates as PEM files: an authority, a server's, and clients' good and bad ones."""

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = datetime.timedelta(days=1)
GOOD = "spiffe://mesh.local/tenant/shop/web"
PROXY = "spiffe://mesh.local/proxy"
WRONG = "spiffe://elsewhere.local/tenant/shop/web"

SERVER_NAMES = (
    x509.DNSName("localhost"),
    x509.DNSName("avatar-service"),
    x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
)


@dataclass(frozen=True, slots=True)
class Authority:
    """One that signs certificates."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def new(cls, name: str) -> "Authority":
        """Make one, with a key of its own."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(name, _name(name), key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        return cls(builder.sign(key, hashes.SHA256()), key)

    def write(self, folder: Path, name: str, *names: x509.GeneralName, server: bool = False) -> None:
        """Write `name.crt` and `name.key` for a certificate with these subject alternative names."""
        key = ec.generate_private_key(ec.SECP256R1())
        usage = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
        certificate = (
            _builder(name, self.certificate.subject, key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        (folder / f"{name}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (folder / f"{name}.key").write_bytes(private)


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(name: str, issuer: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    today = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - DAY)
        .not_valid_after(today + DAY)
    )


def write_tls_files(folder: Path) -> Authority:
    """Write `ca.crt`, and `.crt` and `.key` of each of these: `tls` for a server at 127.0.0.1; `proxy` for Envoy as a
    client; for other clients `good`, `wrong` (a name that is not let in) and `foreign` (of another authority).
    Returns the authority of all others."""
    folder.mkdir(exist_ok=True)
    authority, other = Authority.new("authority"), Authority.new("another authority")
    (folder / "ca.crt").write_bytes(authority.certificate.public_bytes(serialization.Encoding.PEM))
    authority.write(folder, "tls", *SERVER_NAMES, server=True)
    authority.write(folder, "proxy", x509.UniformResourceIdentifier(PROXY))
    authority.write(folder, "good", x509.UniformResourceIdentifier(GOOD))
    authority.write(folder, "wrong", x509.UniformResourceIdentifier(WRONG))
    other.write(folder, "foreign", x509.UniformResourceIdentifier(GOOD))
    return authority
