"""deploy/nginx.conf for real: on loopback, with a certificate that is made here."""

import contextlib
import datetime
import shutil
import socket
import subprocess
import time

import pytest

from tests.mlflow_server.team_server import ROOT

NAME = "localhost"


def nginx():
    """The program; skips where Debian's is not installed."""
    return shutil.which(
        "nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin"
    ) or pytest.skip("needs nginx: make servers")


@contextlib.contextmanager
def served_proxy(folder, *, port, plain_port, upstream_port):
    """Serve TLS on `port`; yields the path of the certificate."""
    program = nginx()
    write_certificate(folder)
    (folder / "site.conf").write_text(site(folder, port, plain_port, upstream_port))
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    (folder / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {folder}/pid; events {{}}\n"
        f"http {{ access_log off; {temporary} include {folder}/site.conf; }}\n"
    )
    command = [program, "-e", str(folder / "log"), "-c", str(folder / "nginx.conf")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        wait_for_port(process, port)
        yield folder / "fullchain.pem"
    finally:
        process.terminate()
        process.communicate(timeout=30)


def site(folder, port, plain_port, upstream_port):
    """The file in deploy/, with the changes that its first lines ask for, and other ports."""
    text = (ROOT / "deploy" / "nginx.conf").read_text()
    for old, new in (
        ("mlflow.example.org", NAME),
        ("/etc/nginx/tls", str(folder)),
        ("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;"),
        ("listen 80;", f"listen 127.0.0.1:{plain_port};"),
        ("127.0.0.1:5000", f"127.0.0.1:{upstream_port}"),
    ):
        assert old in text, old
        text = text.replace(old, new)
    return text


def wait_for_port(process, port):
    deadline = time.monotonic() + 20
    while True:
        assert process.poll() is None, process.stderr.read()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        assert time.monotonic() < deadline
        time.sleep(0.05)


def write_certificate(folder):
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "fullchain.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "privkey.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
