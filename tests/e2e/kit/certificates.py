# SPDX-License-Identifier: Apache-2.0
"""Authorities, certificates of clients and servers, as files, and TLS clients that show them."""

import datetime
import itertools
import os
import ssl

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SHORT = {"CN": NameOID.COMMON_NAME, "O": NameOID.ORGANIZATION_NAME,
         "OU": NameOID.ORGANIZATIONAL_UNIT_NAME, "C": NameOID.COUNTRY_NAME,
         "L": NameOID.LOCALITY_NAME}
CLIENT_AUTH, SERVER_AUTH = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
DIGITAL_SIGNATURE, KEY_ENCIPHERMENT = "digital_signature", "key_encipherment"
KEY_USAGES = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
              "key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")

_numbers = itertools.count(1)


def name_of(subject):
    """[("O", "Shop"), ("CN", "till-7")] in the order of the encoding; RFC 2253 writes it reversed."""
    return x509.Name([x509.RelativeDistinguishedName([x509.NameAttribute(SHORT[kind], value)])
                      for kind, value in subject])


def _write(path, *parts):
    with open(path, "wb") as f:
        f.write(b"".join(parts))
    return path


def _pem(certificate):
    return certificate.public_bytes(serialization.Encoding.PEM)


def key_usage(*wanted):
    return x509.KeyUsage(**{usage: usage in wanted for usage in KEY_USAGES})


class Client:
    """certificate: a PEM file with the chain; key: the file of its key."""

    def __init__(self, certificate, key):
        self.certificate, self.key = certificate, key

    def x509(self):
        with open(self.certificate, "rb") as f:
            return x509.load_pem_x509_certificate(f.read())

    def serial(self):
        return self.x509().serial_number

    def install(self, certificate, key=None):
        """Renames copies into these places, the certificate first."""
        for source, target in ((self.certificate, certificate), (self.key, key)):
            if target:
                with open(source, "rb") as f:
                    _replace(target, f.read())


class Authority:
    """`pem` is the file of its certificate. above: the authority that signs it, else itself."""

    def __init__(self, directory, name, above=None):
        self.directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.name = name_of([("O", "Shop"), ("CN", name)])
        self.above = above
        signer = above or self
        self.certificate = (
            _dated(signer.name, self.name, self._key, -1, 30)
            .add_extension(x509.BasicConstraints(True, None), True)
            .add_extension(key_usage("key_cert_sign", "crl_sign"), True)
            .sign(signer._key, hashes.SHA256()))
        self.pem = _write(os.path.join(directory, "ca-%d.pem" % next(_numbers)),
                          _pem(self.certificate))

    def issue(self, subject, extended=(CLIENT_AUTH,), usages=(DIGITAL_SIGNATURE,), begins_d=-1,
              days=30, ttl_s=None, names=(), key=None):
        """extended, usages: None for a certificate without that extension. ttl_s: instead of days.
        names: DNS names of the subjectAltName. key: instead of a new one on P-256."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        builder = _dated(self.name, name_of(subject) if isinstance(subject, list) else subject, key,
                         begins_d, days, ttl_s)
        builder = builder.add_extension(x509.BasicConstraints(False, None), True)
        if extended is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage(list(extended)), False)
        if usages is not None:
            builder = builder.add_extension(key_usage(*usages), True)
        if names:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), False)
        certificate = builder.sign(self._key, hashes.SHA256())
        path = os.path.join(self.directory, "client-%d" % next(_numbers))
        chain = [_pem(certificate)] + ([_pem(self.certificate)] if self.above else [])
        return Client(_write(path + ".pem", *chain), _write(path + ".key", key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption())))


    def server(self, *names, **options):
        """A certificate for a server of these names."""
        return self.issue([("CN", names[0] if names else "server")], extended=(SERVER_AUTH,),
                          names=names, **options)

    def ocsp(self, path, client, ttl_s=3600, age_s=60, revoked=False):
        """Writes a response about the certificate, in DER."""
        now = datetime.datetime.utcnow().replace(microsecond=0)
        status = ocsp.OCSPCertStatus.REVOKED if revoked else ocsp.OCSPCertStatus.GOOD
        made = (ocsp.OCSPResponseBuilder()
                .add_response(client.x509(), self.certificate, hashes.SHA256(), status,
                              now - datetime.timedelta(seconds=age_s),
                              now + datetime.timedelta(seconds=ttl_s),
                              now if revoked else None, None)
                .responder_id(ocsp.OCSPResponderEncoding.HASH, self.certificate)
                .sign(self._key, hashes.SHA256()))
        return _replace(path, made.public_bytes(serialization.Encoding.DER))


def rsa_key():
    return rsa.generate_private_key(65537, 2048)


def _replace(path, text):
    os.replace(_write(path + ".new", text), path)
    return path


def _dated(issuer, subject, key, begins_d, days, ttl_s=None):
    now = datetime.datetime.utcnow().replace(microsecond=0)
    ends = now + (datetime.timedelta(seconds=ttl_s) if ttl_s else datetime.timedelta(days=days))
    return (x509.CertificateBuilder().issuer_name(issuer).subject_name(subject)
            .public_key(key.public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(now + datetime.timedelta(days=begins_d)).not_valid_after(ends))


def context(ca, client=None, version=None, alpn=()):
    """A client's ssl.SSLContext; version: "TLSv1_2" or "TLSv1_3" for no other."""
    made = ssl.create_default_context(cafile=ca)
    made.check_hostname = False
    if client:
        made.load_cert_chain(client.certificate, client.key)
    if version:
        made.minimum_version = made.maximum_version = getattr(ssl.TLSVersion, version)
    if alpn:
        made.set_alpn_protocols(list(alpn))
    return made
